import { Failure, isFailure } from '#core/failure.js'
import { signCheckpoint } from '#core/tlog/checkpoint.js'
import { encodeTlogProof } from '#core/tlog/proof.js'
import { planInclusion, proveInclusion } from '#core/tlog/prove.js'
import { type Deferred, defer } from '#transparency/deferred.js'
import type { LogCode } from '#transparency/failures.js'
import { type Pending, PendingEntries } from '#transparency/pending.js'
import type { Appended, SequencerLimits, SequencerPorts } from '#transparency/ports.js'
import { catchUp, loadTree, type NewEntry, type Published, present } from '#transparency/store.js'
import type { Tree } from '#transparency/tree.js'

const triesMax = 5

/**
 * Puts entries into the log one batch after the other.
 *
 * Order of a batch, and what a crash after each step leaves behind:
 *   1 entries, full tiles and the new root are durable in one transaction  (before: nothing happened)
 *   2 the log signs the checkpoint      (after 1: the next start finds the entries and goes on with 2)
 *   3 a quorum of witnesses cosigns     (the signature is deterministic: signing again is no second checkpoint)
 *   4 the cosigned checkpoint is stored (a witness cosigns the same checkpoint again)
 *   5 callers are answered              (the caller asks again and is told the same index)
 * Invariant: a root is signed only after it is durable, so two checkpoints of one size never have different roots.
 * Invariant: nothing is integrated before a quorum has confirmed the tree that storage held at the start, so a log
 * that was set back does not grow a second branch.
 */
export class Sequencer {
  readonly #ports: SequencerPorts
  readonly #limits: SequencerLimits
  readonly #pending: PendingEntries
  #tree: Tree | undefined
  #published: Published | undefined
  /** whether a quorum has cosigned what storage held, since it was last loaded */
  #confirmed = false
  #refreshes: Deferred<void>[] = []
  /** how many entries the last batch had */
  #lastCount = 0
  #wake = defer<void>()
  readonly #closing = new AbortController()
  readonly #running: Promise<void>

  constructor(ports: SequencerPorts, limits: SequencerLimits) {
    this.#ports = ports
    this.#limits = limits
    this.#pending = new PendingEntries(limits)
    this.#running = this.#run()
  }

  /**
   * The entry is integrated and a quorum has cosigned a checkpoint over it (I3). The same bytes again: the same index.
   *
   * leaf    0 to 65,535 bytes
   * throws  log/entry-size, log/busy, log/closed, log/witness-unavailable, log/rollback, log/forked, log/storage, log/state
   */
  append(leaf: Uint8Array): Promise<Appended> {
    if (this.#closing.signal.aborted) throw closed()
    const done = this.#pending.add(leaf)
    this.#wake.resolve()
    return done
  }

  /** A quorum has cosigned the current tree just now: this log is what its witnesses have seen. @throws as `append` */
  refresh(): Promise<void> {
    if (this.#closing.signal.aborted) throw closed()
    const done = defer<void>()
    this.#refreshes.push(done)
    this.#wake.resolve()
    return done.promise
  }

  /** The newest checkpoint that a quorum cosigned; undefined before the first. */
  get published(): Published | undefined {
    return this.#published
  }

  /** The tree, loaded from storage when it is not known. @throws log/absent, log/state, log/storage */
  async tree(): Promise<Tree> {
    return (this.#tree ??= await this.#load())
  }

  /** Ends after the batch at hand; entries that wait are refused. */
  async close(): Promise<void> {
    this.#closing.abort()
    this.#wake.resolve()
    await this.#running
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    while (!signal.aborted) {
      await this.#gather()
      if (signal.aborted) break
      const batch = this.#pending.take()
      this.#lastCount = batch.length
      const refreshes = this.#refreshes.splice(0)
      try {
        await this.#attempt(batch, refreshes.length > 0)
        for (const one of refreshes) one.resolve()
      } catch (error) {
        for (const one of refreshes) one.reject(error)
        for (const one of batch) one.done.reject(error) // no effect on those that were answered
      }
      for (const one of batch) this.#pending.settle(one)
    }
    this.#pending.refuse(closed())
    for (const one of this.#refreshes) one.reject(closed())
  }

  /** Waits until there is something to do, and then a moment longer for more of it. */
  async #gather(): Promise<void> {
    const { signal } = this.#closing
    const isIdle = () => this.#pending.count === 0 && this.#refreshes.length === 0
    if (isIdle()) {
      this.#wake = defer()
      const unpublished = this.#tree !== undefined && this.#published?.size !== this.#tree.size
      const retry = unpublished ? [this.#ports.sleep(this.#limits.retryMs, signal)] : []
      await Promise.race([this.#wake.promise, ...retry])
    }
    // Callers that were just answered come back at once. Only when fewer are here than last time is it worth a wait.
    const { batchEntriesMax, windowMs } = this.#limits
    if (this.#pending.count > 0 && this.#pending.count < Math.min(this.#lastCount, batchEntriesMax)) {
      await this.#ports.sleep(windowMs, signal)
    }
  }

  /**
   * Writers of one storage take turns, and each begins with what the others stored. One that has lost its turn without knowing
   * finds that another was first: then the batch goes behind what it stored.
   */
  async #attempt(batch: readonly Pending[], refresh: boolean): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.#inTurn(() => this.#round(batch, refresh))
      } catch (error) {
        const mayBeBehind = isFailure(error) && (error.code === 'log/writer' || error.code === 'log/rollback')
        if (!mayBeBehind || tries >= triesMax) throw error
      }
    }
  }

  async #round(batch: readonly Pending[], refresh: boolean): Promise<void> {
    const indexes = await this.#begin(batch)
    let tree = await this.tree()
    if (!this.#confirmed) tree = await this.#publish()
    const fresh = batch.filter((one) => !indexes.has(one.key))
    if (fresh.length > 0) {
      for (const [i, one] of fresh.entries()) indexes.set(one.key, tree.size + i)
      await this.#integrate(tree, fresh)
    }
    await this.#answer(batch, indexes) // those that an earlier checkpoint covers need no new one
    if (refresh || this.#published?.size !== tree.size) {
      await this.#publish()
      await this.#answer(batch, indexes)
    }
  }

  /** The tree is that of storage, to which other writers may have added; so is what was published of it. @returns indexes of what is stored */
  async #begin(batch: readonly Pending[]): Promise<Map<string, number>> {
    const { store, witnesses } = this.#ports
    const hashes = batch.map((one) => one.leafHash)
    const known = await this.tree()
    const { head, indexes } = await this.#storage(() => store.survey(hashes))
    try {
      const caught = await this.#storage(() => catchUp(store, known, present(head)))
      if (caught === null) {
        // The tree first, then what is in it: what comes between is in neither, and integrating finds it.
        this.#forget()
        await this.tree()
        return (await this.#storage(() => store.survey(hashes))).indexes
      }
      const { published } = caught
      if (published === undefined || published.size <= (this.#published?.size ?? 0) || published.size > known.size)
        return indexes
      this.#published = published
      witnesses.expect(published.size)
      return indexes
    } catch (error) {
      this.#forget()
      throw error
    }
  }

  async #integrate(tree: Tree, fresh: readonly NewEntry[]): Promise<void> {
    const from = tree.size
    const tiles = tree.append(fresh.map((one) => one.leafHash))
    try {
      await this.#storage(() =>
        this.#ports.store.integrate({ from, entries: fresh, tiles, size: tree.size, rootHash: tree.root() }),
      )
    } catch (error) {
      // The tree in memory may be ahead of storage now, or equal to it: storage is asked before anything else happens.
      this.#tree = undefined
      this.#confirmed = false
      throw error
    }
  }

  /** Signs the tree as it stands in storage and has it cosigned. Nothing is signed that was not durable before. */
  async #publish(): Promise<Tree> {
    const { store, signer, witnesses, now } = this.#ports
    const tree = await this.tree()
    const head = { origin: signer.verifier.name, size: tree.size, rootHash: tree.root() }
    const note = await signCheckpoint(head, signer)
    const timeout = new AbortController()
    const timer = this.#ports.sleep(this.#limits.cosignMs, timeout.signal).then(() => timeout.abort())
    try {
      const read = (nodes: Parameters<Tree['read']>[0]) => tree.read(nodes)
      const text = await witnesses.cosign(head, note, read, now(), timeout.signal)
      const published: Published = { size: head.size, rootHash: head.rootHash, checkpoint: text }
      await this.#storage(() => store.publish(published))
      this.#published = published
      this.#confirmed = true
    } catch (error) {
      if (isFailure(error) && (error.code === 'log/rollback' || error.code === 'log/forked')) this.#forget()
      throw error
    } finally {
      timeout.abort()
      await timer
    }
    return tree
  }

  /**
   * After a witness has seen more than is known here, or something else: another writer may have stored it, so storage is
   * read again, and nothing is integrated until a quorum confirms what stands there.
   */
  #forget(): void {
    this.#tree = undefined
    this.#confirmed = false
  }

  async #answer(batch: readonly Pending[], indexes: ReadonlyMap<string, number>): Promise<void> {
    const published = this.#published
    if (published === undefined) return
    const tree = await this.tree()
    const spelled = new Map<Uint8Array, string>()
    for (const one of batch) {
      const index = indexes.get(one.key)
      if (index === undefined || index >= published.size || !this.#pending.waits(one)) continue
      const hashes =
        tree.joinNow(planInclusion(index, published.size)) ??
        (await proveInclusion(index, published.size, (nodes) => tree.read(nodes)))
      this.#pending.settle(one)
      one.done.resolve({ index, proof: encodeTlogProof({ index, hashes, checkpoint: published.checkpoint }, spelled) })
    }
  }

  async #load(): Promise<Tree> {
    const { tree, published } = await this.#storage(() => loadTree(this.#ports.store))
    const last = this.#published
    if (last !== undefined && (tree.size < last.size || (published?.size ?? 0) < last.size)) {
      const message = `storage has ${tree.size} entries, a checkpoint of ${last.size} was published`
      throw new Failure<LogCode>('log/rollback', message)
    }
    this.#published = published ?? last
    return tree
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await this.#ports.store.inTurn(work)
    } catch (cause) {
      if (isFailure(cause) && !cause.code.startsWith('database/')) throw cause
      if (!isFailure(cause)) throw cause
      throw new Failure<LogCode>('log/storage', 'the turn to write did not come', { cause })
    }
  }

  /** A storage step: what it throws has one of our codes. */
  async #storage<T>(step: () => Promise<T>): Promise<T> {
    try {
      return await step()
    } catch (cause) {
      if (isFailure(cause) && cause.code.startsWith('log/')) throw cause
      throw new Failure<LogCode>('log/storage', 'storage of the log failed', { cause })
    }
  }
}

function closed(): Failure<LogCode> {
  return new Failure<LogCode>('log/closed', 'log is closed')
}
