/**
 * The makers' login, on loopback: it issues a code for a browser or a device and the
 * tokens for it, and tells the app-server of one account. The real app-server is sent
 * there by its environment and its configuration.
 */
import * as Effect from "effect/Effect"
import { createServer, type Server } from "node:http"

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
const account = "account-1"

/** A token that says this; nobody checks who has signed it. */
const token = (claims: object) =>
  [
    part({ alg: "none", typ: "JWT" }),
    part({
      ...claims,
      exp: Math.floor(Date.now() / 1000) + 3600,
      "https://api.openai.com/auth": {
        chatgpt_plan_type: "plus",
        chatgpt_account_id: account,
        chatgpt_user_id: "user-1"
      }
    }),
    part("signature")
  ].join(".")

const urlOf = (server: Server) => {
  const address = server.address()
  return `http://127.0.0.1:${typeof address === "object" ? address?.port : undefined}`
}

/** The one who logs in. */
export const email = "ada@example.com"

/** The code that is shown to who logs in by device. */
export const userCode = "ABCD-1234"

export const loginIssuer = Effect.gen(function*() {
  let isEntered = false
  const answers: { readonly [path: string]: () => readonly [status: number, body: unknown] } = {
    "/oauth/token": () => [200, { id_token: token({ email }), access_token: token({}), refresh_token: "refresh" }],
    "/api/accounts/deviceauth/usercode": () => [
      200,
      { device_auth_id: "device-1", user_code: userCode, interval: "1" }
    ],
    "/api/accounts/deviceauth/token": () =>
      isEntered
        ? [200, { authorization_code: "code", code_challenge: "challenge", code_verifier: "verifier" }]
        : [403, {}],
    "/api/codex/accounts/check": () => [200, {
      accounts: [{
        id: account,
        workspace_backend_origin: "https://localhost:9",
        account_routing_override: "NO_CONSTRAINT"
      }]
    }]
  }
  const server = createServer((request, response) => {
    const [status, body] = answers[request.url?.split("?", 1)[0] ?? ""]?.() ?? [404, {}]
    request.resume().on("end", () => {
      response.writeHead(status, { "content-type": "application/json", connection: "close" }).end(JSON.stringify(body))
    })
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  const url = urlOf(server)
  return {
    /** What the app-server has to find in its environment. */
    env: { CODEX_APP_SERVER_LOGIN_ISSUER: url },
    /** A line of its `config.toml`. */
    config: `chatgpt_base_url = "${url}"`,
    /** Somebody opens the page and says yes, or no. */
    visit: (page: URL, says: "yes" | "no") =>
      Effect.promise(async () => {
        const back = new URL(page.searchParams.get("redirect_uri") ?? "")
        back.searchParams.set("state", page.searchParams.get("state") ?? "")
        if (says === "yes") back.searchParams.set("code", "code")
        else back.searchParams.set("error", "access_denied")
        const response = await fetch(back)
        await response.text()
        return response.status
      }),
    /** Somebody enters the code. */
    enter: Effect.sync(() => {
      isEntered = true
    })
  }
})
