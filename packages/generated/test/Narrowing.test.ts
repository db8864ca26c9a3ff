import type {
  AskForApproval,
  AskForApprovalParam,
  ClientRequestParams,
  ClientRequestResults,
  ServerNotificationParams,
  StableClientRequestMethod,
  ThreadItem,
  ThreadStartParams,
  TurnStatus,
  UnknownKeyed,
  UnknownMember,
  UserInputParam
} from "@effect-codex/generated"
import { assert, it } from "@effect/vitest"

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
const same = <A, B>(value: Same<A, B>) => value

/** Compiling is the test: each assignment below fails to compile when narrowing is not exact. */
const itemText = (item: ThreadItem): string => {
  if (item.type === "agentMessage") {
    const text: string = item.text
    return text
  }
  switch (item.type) {
    case "plan": {
      same<typeof item.text, string>(true)
      return item.text
    }
    case "commandExecution":
      return item.command
    default: {
      const type: string = item.type
      return type
    }
  }
}

const unknownField = (item: ThreadItem): unknown => {
  switch (item.type) {
    case "agentMessage":
      return item.phase
    default:
      // @ts-expect-error a field of one variant is out of reach before the tag is looked at
      return item.text
  }
}

const statusText = (status: TurnStatus): string => {
  if (status === "completed") {
    same<typeof status, "completed">(true)
    return status
  }
  return status
}

const granular = (policy: AskForApproval): boolean => {
  if (typeof policy === "string") return policy === "never"
  if ("granular" in policy) {
    same<typeof policy.granular.rules, boolean>(true)
    return policy.granular.rules
  }
  same<typeof policy, UnknownKeyed>(true)
  return Object.entries(policy).length > 0
}

it("narrows unions to exactly the known variant", () => {
  assert.strictEqual(itemText({ type: "agentMessage", id: "i", text: "hello" }), "hello")
  assert.strictEqual(unknownField({ type: "agentMessage", id: "i", text: "hello", phase: null }), null)
  assert.strictEqual(statusText("completed"), "completed")
  assert.strictEqual(granular("never"), true)
  const unknown = (status: TurnStatus): UnknownMember | undefined =>
    status === "completed" || status === "failed" || status === "inProgress" || status === "interrupted"
      ? undefined
      : status
  assert.strictEqual(unknown("failed"), undefined)
})

it("keeps what is unknown out of what a caller sends", () => {
  const policy = (received: AskForApproval): AskForApprovalParam => {
    // @ts-expect-error an unknown member, or an unknown variant, is not part of the closed form
    return received
  }
  assert.strictEqual(policy("never"), "never")
  // @ts-expect-error neither is a misspelt one
  const input: UserInputParam = { type: "txt", text: "x" }
  assert.isDefined(input)
  const options: { readonly model?: string | undefined } = {}
  const params: ThreadStartParams = { model: options.model, sandbox: null }
  assert.isUndefined(params.model)
})

it("types params and results by method", () => {
  assert.isTrue(same<ClientRequestParams["account/logout"], undefined>(true))
  assert.isTrue(same<ClientRequestParams["thread/start"], ThreadStartParams>(true))
  assert.isTrue(same<ClientRequestResults["turn/start"]["turn"]["id"], string>(true))
  assert.isTrue(same<ServerNotificationParams["turn/completed"]["turn"]["status"], TurnStatus>(true))
  assert.isTrue(same<Extract<StableClientRequestMethod, "thread/start" | "memory/reset">, "thread/start">(true))
})
