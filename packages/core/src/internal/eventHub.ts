/**
 * Fans events out to those who asked for them: for all of them, for those of nobody's
 * turns, for those of one thread, or for what is told about one thing.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ConnectionError, DecodeError } from "../CodexError.ts"
import type { CodexEvent, Notification } from "../Notification.ts"
import { Feed } from "./feed.ts"
import { type AddressedMethod, addresses, isAddressed } from "./methodTraits.ts"
import { idAt } from "./notifications.ts"
import type { Limits, Subscription } from "./subscription.ts"
import * as ThreadId from "./threadId.ts"

/** What is told about one thing that this client has named, on the reader. */
export interface Listener<M extends AddressedMethod> {
  /** A notification and its size on the wire. Runs before the next message is looked at. */
  readonly event: (event: Notification<M>, bytes: number) => void
  /** One of its notifications could not be read. */
  readonly unreadable: (error: DecodeError) => void
  /** The connection is over: nothing more will come. */
  readonly closed: (error: ConnectionError) => void
}

type Listeners<M extends AddressedMethod> = Map<string, Set<Listener<M>>>

export class EventHub {
  private readonly addressed: { readonly [M in AddressedMethod]: Listeners<M> } = {
    "command/exec/outputDelta": new Map(),
    "fs/changed": new Map(),
    "fuzzyFileSearch/sessionUpdated": new Map(),
    "process/exited": new Map(),
    "process/outputDelta": new Map()
  }
  private readonly everything: Feed<CodexEvent>
  private readonly unowned: Feed<CodexEvent>
  private readonly threads = new Map<string, Feed<CodexEvent>>()
  private readonly methods = new Map<string, Feed<CodexEvent>>()
  private readonly limits: Limits
  private readonly outlet: EventHub | undefined
  private closedWith: ConnectionError | undefined

  private readonly onDrop: (() => void) | undefined

  /**
   * With an outlet, another hub is told the same events, and goes on when this one
   * ends. `onDrop` is told of each event that gives way.
   */
  constructor(limits: Limits, outlet?: EventHub, onDrop?: () => void) {
    this.limits = limits
    this.everything = new Feed(limits, onDrop)
    this.unowned = new Feed(limits, onDrop)
    this.outlet = outlet
    this.onDrop = onDrop
  }

  /** To those who want everything, those who listen to what it is about, and those who want its method or thread. */
  publish(event: CodexEvent, bytes: number): void {
    this.outlet?.publish(event, bytes)
    this.everything.publish(event, bytes)
    this.address(event, bytes)
    if (this.methods.size > 0) this.methods.get(event.method)?.publish(event, bytes)
    if (event.threadId === undefined || this.threads.size === 0) return
    this.threads.get(event.threadId)?.publish(event, bytes)
  }

  /** To those who want what belongs to no turn of this client. */
  publishUnowned(event: CodexEvent, bytes: number): void {
    this.outlet?.publishUnowned(event, bytes)
    this.unowned.publish(event, bytes)
  }

  /** To those who listen to the thing that it names. */
  private address(event: CodexEvent, bytes: number): void {
    switch (event.method) {
      case "command/exec/outputDelta":
        return tell(this.addressed[event.method], event.params.processId, event, bytes)
      case "fs/changed":
        return tell(this.addressed[event.method], event.params.watchId, event, bytes)
      case "fuzzyFileSearch/sessionUpdated":
        return tell(this.addressed[event.method], event.params.sessionId, event, bytes)
      case "process/exited":
        return tell(this.addressed[event.method], event.params.processHandle, event, bytes)
      case "process/outputDelta":
        return tell(this.addressed[event.method], event.params.processHandle, event, bytes)
    }
  }

  /** To those who listen to the thing that a notification names which could not be read. */
  unreadable(method: string, params: unknown, error: DecodeError): void {
    if (!isAddressed(method)) return
    const id = idAt(params, [addresses[method]])
    const set: ReadonlySet<Pick<Listener<AddressedMethod>, "unreadable">> | undefined = id === undefined
      ? undefined
      : this.addressed[method].get(id)
    if (set !== undefined) { for (const listener of set) listener.unreadable(error) }
  }

  close(error: ConnectionError): void {
    if (this.closedWith !== undefined) return
    this.closedWith = error
    for (const listeners of Object.values(this.addressed)) {
      const sets: ReadonlyArray<ReadonlySet<Pick<Listener<AddressedMethod>, "closed">>> = [...listeners.values()]
      listeners.clear()
      for (const set of sets) for (const listener of set) listener.closed(error)
    }
    for (const feed of [this.everything, this.unowned, ...this.threads.values(), ...this.methods.values()]) {
      feed.close(error)
    }
  }

  /** Listens to what is told about one thing, from now on until the scope closes. */
  listen<M extends AddressedMethod>(
    method: M,
    id: string,
    listener: Listener<M>
  ): Effect.Effect<void, never, Scope.Scope> {
    return Effect.acquireRelease(
      Effect.sync(() => {
        if (this.closedWith !== undefined) return listener.closed(this.closedWith)
        const listeners: Listeners<M> = this.addressed[method]
        const set = listeners.get(id)
        if (set === undefined) listeners.set(id, new Set([listener]))
        else set.add(listener)
      }),
      () =>
        Effect.sync(() => {
          const listeners: Listeners<M> = this.addressed[method]
          const set = listeners.get(id)
          if (set?.delete(listener) === true && set.size === 0) listeners.delete(id)
        })
    )
  }

  /** Everything the server tells. */
  get subscribe(): Effect.Effect<Stream.Stream<CodexEvent, ConnectionError>, never, Scope.Scope> {
    return Effect.map(this.everything.subscribe, withLag)
  }

  /** What belongs to no turn of this client. */
  get subscribeUnowned(): Effect.Effect<Stream.Stream<CodexEvent, ConnectionError>, never, Scope.Scope> {
    return Effect.map(this.unowned.subscribe, withLag)
  }

  /** What belongs to one thread. */
  subscribeThread(threadId: string): Effect.Effect<Stream.Stream<CodexEvent, ConnectionError>, never, Scope.Scope> {
    return Effect.map(this.subscribeKeyed(this.threads, ThreadId.canonical(threadId)), withLag)
  }

  /** What is told by one method: nothing else takes the room of it. */
  subscribeMethod(method: string): Effect.Effect<Stream.Stream<CodexEvent, ConnectionError>, never, Scope.Scope> {
    return Effect.map(this.subscribeKeyed(this.methods, method), ({ stream }) => stream)
  }

  private subscribeKeyed(
    feeds: Map<string, Feed<CodexEvent>>,
    key: string
  ): Effect.Effect<Subscription<CodexEvent, ConnectionError>, never, Scope.Scope> {
    return Effect.suspend(() => {
      const feed = feeds.get(key) ?? new Feed<CodexEvent>(this.limits, this.onDrop)
      if (this.closedWith === undefined) feeds.set(key, feed)
      else feed.close(this.closedWith)
      // Added first, so that it runs when the reader has left.
      return Effect.addFinalizer(() =>
        Effect.sync(() => {
          if (feed.isUnread && feeds.get(key) === feed) feeds.delete(key)
        })
      ).pipe(Effect.andThen(feed.subscribe))
    })
  }
}

const withLag = (subscription: Subscription<CodexEvent, ConnectionError>): Stream.Stream<CodexEvent, ConnectionError> =>
  subscription.streamWithLag

const tell = <M extends AddressedMethod>(
  listeners: Listeners<M>,
  id: string,
  event: Notification<M>,
  bytes: number
): void => {
  const set = listeners.get(id)
  if (set !== undefined) { for (const listener of set) listener.event(event, bytes) }
}
