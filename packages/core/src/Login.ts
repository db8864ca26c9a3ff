/**
 * Logging in, with an API key or a ChatGPT account.
 *
 * @since 0.1.0
 */
import type {
  AccountLoginCompletedNotification,
  LoginAccountParams,
  LoginAccountResponse
} from "@effect-codex/generated"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { AppServerClient } from "./AppServerClient.ts"
import { type ConnectionError, DecodeError, type RequestError } from "./CodexError.ts"
import { scopeClosed } from "./internal/closed.ts"
import * as Log from "./internal/log.ts"
import { stopGrace } from "./internal/stoppable.ts"
import { unreadable } from "./internal/unreadable.ts"

/**
 * A login that a person has to complete.
 *
 * @since 0.1.0
 * @category models
 */
export interface PendingLogin {
  /** The login's id. */
  readonly loginId: string
  /**
   * Waits until the login has ended, and tells whether it succeeded. An end that cannot be
   * read is a `DecodeError`, whichever login it is of.
   */
  readonly wait: Effect.Effect<AccountLoginCompletedNotification, ConnectionError | DecodeError>
  /** Gives the login up. Mirrors `account/login/cancel`. */
  readonly cancel: Effect.Effect<void, RequestError>
}

/**
 * A login that goes on in the browser.
 *
 * @since 0.1.0
 * @category models
 */
export interface BrowserLogin extends PendingLogin {
  /** The page to open. */
  readonly authUrl: URL
}

/**
 * A login that goes on in any browser, with a code to enter there.
 *
 * @since 0.1.0
 * @category models
 */
export interface DeviceCodeLogin extends PendingLogin {
  /** The page to open. */
  readonly verificationUrl: URL
  /** The one-time code to enter there. */
  readonly userCode: Redacted.Redacted<string>
}

/**
 * Logs in with an API key.
 *
 * @since 0.1.0
 * @category constructors
 */
export const withApiKey = Effect.fn("Login.withApiKey")(
  function*(client: AppServerClient["Service"], apiKey: Redacted.Redacted<string>) {
    yield* client.request("account/login/start", { type: "apiKey", apiKey: Redacted.value(apiKey) })
  }
)

/**
 * Begins a login in the browser. The scope gives it up when it closes first.
 *
 * @since 0.1.0
 * @category constructors
 */
export const inBrowser = (
  client: AppServerClient["Service"]
): Effect.Effect<BrowserLogin, RequestError, Scope.Scope> =>
  begin(
    client,
    { type: "chatgpt" },
    (response) =>
      response.type !== "chatgpt" || !URL.canParse(response.authUrl) ? undefined : {
        loginId: response.loginId,
        fields: { authUrl: new URL(response.authUrl) }
      }
  ).pipe(Effect.withSpan("Login.inBrowser"))

/**
 * Begins a login by a code. The scope gives it up when it closes first.
 *
 * @since 0.1.0
 * @category constructors
 */
export const byDeviceCode = (
  client: AppServerClient["Service"]
): Effect.Effect<DeviceCodeLogin, RequestError, Scope.Scope> =>
  begin(
    client,
    { type: "chatgptDeviceCode" },
    (response) =>
      response.type !== "chatgptDeviceCode" || !URL.canParse(response.verificationUrl) ? undefined : {
        loginId: response.loginId,
        fields: {
          verificationUrl: new URL(response.verificationUrl),
          userCode: Redacted.make(response.userCode, { label: "userCode" })
        }
      }
  ).pipe(Effect.withSpan("Login.byDeviceCode"))

const begin = <A>(
  client: AppServerClient["Service"],
  params: LoginAccountParams,
  read: (response: LoginAccountResponse) => { readonly loginId: string; readonly fields: A } | undefined
): Effect.Effect<PendingLogin & A, RequestError, Scope.Scope> =>
  Effect.uninterruptibleMask(Effect.fnUntraced(function*(restore) {
    const completed = yield* Deferred.make<AccountLoginCompletedNotification, ConnectionError | DecodeError>()
    const ended = new Map<string | null, AccountLoginCompletedNotification>()
    let loginId: string | undefined
    // From before the request, since the login may end before its response is looked at.
    yield* client.on("account/login/completed").pipe(
      Stream.runForEach(({ params }) => {
        const id = params.loginId ?? null
        if (loginId !== undefined) return id === loginId ? Deferred.succeed(completed, params) : Effect.void
        return Effect.sync(() => ended.set(id, params))
      }),
      Effect.catch((error) => Deferred.fail(completed, error)),
      Effect.forkScoped({ startImmediately: true })
    )
    yield* unreadable(client, "account/login/completed").pipe(
      Effect.catch((error) => Deferred.fail(completed, error)),
      Effect.forkScoped({ startImmediately: true })
    )
    const cancel = (loginId: string) => Effect.asVoid(client.request("account/login/cancel", { loginId }))
    // It goes on when the caller is interrupted: only its answer names the login to give up.
    const starting = yield* client.request("account/login/start", params).pipe(
      Effect.flatMap((response) => {
        const begun = read(response)
        return begun === undefined
          ? Effect.fail(
            new DecodeError({
              method: "account/login/start",
              payload: "result",
              issues: [{ path: "type", expected: `Expected a login of type ${params.type}` }]
            })
          )
          : Effect.succeed(begun)
      }),
      // Here, since the scope waits for the end of a login also where the caller waits for its beginning no more.
      Effect.tap((begun) => {
        loginId = begun.loginId
        const early = ended.get(loginId)
        return early === undefined ? Effect.void : Deferred.succeed(completed, early)
      }),
      Effect.forkScoped({ startImmediately: true })
    )
    yield* Effect.addFinalizer(Effect.fnUntraced(function*() {
      const begun = yield* Effect.timeoutOption(Effect.option(Fiber.join(starting)), stopGrace)
      const pending = Deferred.isDoneUnsafe(completed) ? undefined : Option.getOrUndefined(Option.flatten(begun))
      if (pending !== undefined) {
        // The server tells the end of the login to whoever waits for it.
        yield* Effect.andThen(cancel(pending.loginId), Effect.exit(Deferred.await(completed))).pipe(
          Effect.timeoutOption(stopGrace),
          Effect.catch((error) => Log.warning(`Could not cancel the login: ${error.message}`))
        )
      }
      yield* Deferred.fail(completed, scopeClosed("login", "account/login/start"))
    }))
    const { fields, loginId: id } = yield* restore(Fiber.join(starting))
    return { ...fields, loginId: id, wait: Deferred.await(completed), cancel: cancel(id) }
  }))
