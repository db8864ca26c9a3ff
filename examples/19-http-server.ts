/**
 * The agent behind HTTP: `GET /ask?q=...` answers with server-sent events. When the
 * client leaves, the stream is interrupted, and with it the turn. The request's scope
 * has the thread, and with its end the app-server unloads it.
 *
 *     npm run example examples/19-http-server.ts
 *     curl -N 'http://127.0.0.1:3000/ask?q=Hello'
 */
import { Codex } from "@effect-codex/core"
import { OfflineModel } from "@effect-codex/node/testing"
import { NodeHttpServer } from "@effect/platform-node"
import { Config, Console, Effect, Exit, Layer, Schema, Stream } from "effect"
import { Sse } from "effect/encoding"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"
import { runExample } from "./support.ts"

const event = (event: string, data: Schema.Json) =>
  Sse.encoder.write({ _tag: "Event", id: undefined, event, data: JSON.stringify(data) })

/** A turn as server-sent events: its text as it comes, and how it ended. */
const answer = Effect.fnUntraced(function*(question: string) {
  const codex = yield* Codex
  const thread = yield* codex.thread({ sandbox: "readOnly", approvalMode: "denyAll", ephemeral: true })
  return thread.stream(question).pipe(
    Stream.flatMap((notification) => {
      switch (notification.method) {
        case "item/agentMessage/delta":
          return Stream.make(event("delta", notification.params.delta))
        case "turn/completed":
          return Stream.make(event("end", notification.params.turn.status))
        default:
          return Stream.empty
      }
    }),
    Stream.onExit((exit) => Console.log(Exit.hasInterrupts(exit) ? "The client has left" : "The turn has ended")),
    Stream.catch((error) => Stream.make(event("error", error._tag)))
  )
})

const routes = HttpRouter.add(
  "GET",
  "/ask",
  Effect.gen(function*() {
    const { q } = yield* HttpServerRequest.schemaSearchParams(Schema.Struct({ q: Schema.String }))
    const events = yield* answer(q)
    return HttpServerResponse.stream(Stream.encodeText(events), {
      contentType: "text/event-stream",
      headers: { "cache-control": "no-cache" }
    })
  }).pipe(
    Effect.catchTag("SchemaError", () => Effect.succeed(HttpServerResponse.text("Ask with ?q=", { status: 400 }))),
    Effect.catch((error) => Effect.succeed(HttpServerResponse.text(error._tag, { status: 503 })))
  )
)

const server = Layer.effectDiscard(
  HttpServer.addressFormattedWith((address) => Console.log(`Listening on ${address}`))
).pipe(
  Layer.provideMerge(HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true })),
  Layer.provide(Layer.unwrap(Effect.gen(function*() {
    const port = yield* Config.Int("PORT").pipe(Config.withDefault(3000))
    // How long the end waits for answers that are still open, before their turns are interrupted.
    return NodeHttpServer.layer(createServer, { host: "127.0.0.1", port, gracefulShutdownTimeout: "1 second" })
  })))
)

/** The offline model never ends a long answer, and tells when nobody listens to it any more. */
const endless = Effect.onInterrupt(Effect.never, () => Console.log("The model has stopped"))

runExample(Layer.launch(server), {
  codex: { config: { thread_unload_delay_secs: 0 } },
  model: {
    respond: ({ text }) =>
      text.includes("long")
        ? OfflineModel.text(["It ", OfflineModel.hold(endless)])
        : OfflineModel.text(["You ", "asked: ", text])
  }
})
