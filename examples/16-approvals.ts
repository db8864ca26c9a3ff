/** Decides what the agent may do beyond its sandbox, by rules and then by asking. */
import { Approvals, Codex } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { Console, Effect, Stream } from "effect"
import { runExample } from "./support.ts"

const policy = Approvals.firstMatch(
  Approvals.declineCommands(["rm"]),
  Approvals.acceptCommands(["echo", "git status"]),
  // A person could be asked here; the turn waits, and everything else goes on.
  Approvals.ask((request) => Effect.as(Console.log(`Asked for a ${request._tag}: declined`), Approvals.decline))
)

const program = Effect.gen(function*() {
  const codex = yield* Codex
  // Every decision, for the record.
  yield* codex.decisions.pipe(
    Stream.runForEach(({ by, decision, request }) =>
      Console.log(`${request._tag === "Command" ? request.command : request._tag}: ${decision?._tag} by ${by}`)
    ),
    Effect.forkScoped({ startImmediately: true })
  )
  const thread = yield* codex.startThread({ sandbox: "readOnly", approvals: { policy } })
  const result = yield* thread.run("Say hello with echo, clean up with rm, and read the news with curl.")
  for (const item of result.items) {
    if (item.type === "commandExecution") yield* Console.log(`The command is ${item.status}`)
  }
  yield* Console.log(result.finalResponse)
}).pipe(Effect.scoped)

const command = (cmd: string) =>
  OfflineModel.functionCall({
    name: "exec_command",
    arguments: { cmd, sandbox_permissions: "require_escalated", justification: "You have asked for it" }
  })

runExample(program, {
  model: {
    replies: [
      command("echo hello"),
      command("rm -rf build"),
      command("curl https://example.com"),
      OfflineModel.text("I have said hello; the rest was not allowed.")
    ]
  }
})
