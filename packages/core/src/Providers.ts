/**
 * Model providers: who serves the models.
 *
 * @since 0.1.0
 */
import type {
  ModelProviderCapabilitiesReadResponse,
  ModelProviderListResponse,
  ModelProviderSummary
} from "@effect-codex/generated"
import * as Effect from "effect/Effect"
import type { AppServerClient } from "./AppServerClient.ts"
import type { RequestError } from "./CodexError.ts"

/**
 * A gateway that speaks the Responses API.
 *
 * @since 0.1.0
 * @category models
 */
export interface Gateway {
  /** Its id in the configuration; a new one is made of the name when left out. */
  readonly id?: string | undefined
  /** What it is called. */
  readonly name?: string | undefined
  /** Where its API stands. */
  readonly baseUrl?: URL | undefined
  /** The environment variable of the server that holds its API key. */
  readonly envKey?: string | undefined
}

/**
 * The model providers of the connected app-server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Providers {
  /** The providers that are configured, and which of them is the default. Mirrors `modelProvider/list`. */
  readonly list: Effect.Effect<ModelProviderListResponse, RequestError>
  /** What the default provider can do. Mirrors `modelProvider/capabilities/read`. */
  readonly capabilities: Effect.Effect<ModelProviderCapabilitiesReadResponse, RequestError>
  /** Writes a gateway to the configuration. Mirrors `modelProvider/config/write`. */
  readonly writeGateway: (gateway: Gateway) => Effect.Effect<ModelProviderSummary, RequestError>
}

/**
 * The model providers behind a client.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (client: AppServerClient["Service"]): Providers => ({
  list: client.request("modelProvider/list", {}).pipe(Effect.withSpan("Providers.list")),
  capabilities: client.request("modelProvider/capabilities/read", {}).pipe(Effect.withSpan("Providers.capabilities")),
  writeGateway: Effect.fn("Providers.writeGateway")(function*(gateway: Gateway) {
    const { provider } = yield* client.request("modelProvider/config/write", {
      settings: {
        type: "customGateway",
        providerId: gateway.id,
        name: gateway.name,
        // The server joins paths to it: a slash that `URL` has added would stand twice.
        baseUrl: gateway.baseUrl?.href.replace(/\/$/, ""),
        envKey: gateway.envKey
      }
    })
    return provider
  })
})
