/** What is between a client and a server on a network, and what may become of it. */
import * as Effect from "effect/Effect"
import { connect, createServer, type Socket } from "node:net"

/** A relay to the server at a URL, with a port of its own. */
export const relay = (url: string) =>
  Effect.gen(function*() {
    const target = new URL(url)
    const sockets = new Set<Socket>()
    const keep = (socket: Socket) => {
      sockets.add(socket)
      socket.on("error", () => {})
      return socket
    }
    const server = createServer((near) => {
      const far = keep(connect(Number(target.port), target.hostname))
      keep(near).pipe(far)
      far.pipe(near)
      near.on("close", () => far.destroy())
      far.on("close", () => near.destroy())
    })
    yield* Effect.acquireRelease(
      Effect.callback<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.callback<void>((resume) => {
          for (const socket of sockets) socket.destroy()
          server.close(() => resume(Effect.void))
        })
    )
    const address = server.address()
    return {
      url: `ws://127.0.0.1:${typeof address === "object" ? address?.port : undefined}`,
      /** Ends all connections without a word. */
      cut: Effect.sync(() => {
        for (const socket of sockets) socket.resetAndDestroy()
      }),
      /** Moves nothing any more, and tells nobody. */
      stall: Effect.sync(() => {
        for (const socket of sockets) socket.unpipe().pause()
      })
    }
  })
