import { Failure, isFailure } from '#core/failure.js'
import { clockSkewSeconds } from '#core/limits.js'
import type { UnixSeconds } from '#core/time.js'
import { encodeAddCheckpoint } from '#core/tlog/add-checkpoint.js'
import { addSignatures, type TreeHead } from '#core/tlog/checkpoint.js'
import { type Note, parseSignatureLines, type VerifiedSignature, verifyNote } from '#core/tlog/note.js'
import { type TlogPolicy, verifyQuorum } from '#core/tlog/policy.js'
import { proveConsistency, type ReadNodes } from '#core/tlog/prove.js'
import { parseVkey, type VerifierKey } from '#core/tlog/vkey.js'
import type { LogCode } from '#transparency/failures.js'

/** What a witness answered: its signature lines, the size it has seen (409), or the status of a refusal. */
export type WitnessAnswer =
  | { readonly kind: 'cosigned'; readonly lines: string }
  | { readonly kind: 'conflict'; readonly size: number }
  | { readonly kind: 'refused'; readonly status: number }

/** Port: reaches one witness. */
export interface WitnessClient {
  /** the witness's verifier key, as the log's operator configured it */
  readonly vkey: string
  /**
   * Sends the body of an add-checkpoint request. The answer is not believed: the log verifies each line.
   *
   * signal  when it fires, the call ends soon, with a failure
   * throws  log/witness-unavailable when no proper answer came
   */
  addCheckpoint(body: string, signal: AbortSignal): Promise<WitnessAnswer>
}

const triesMax = 3

/** One witness, and the size of the tree that it has seen last, as far as is known here. */
interface Session {
  readonly client: WitnessClient
  readonly key: VerifierKey
  seen: number
}

interface Question {
  readonly head: TreeHead
  readonly note: Note
  readonly read: ReadNodes
  readonly signal: AbortSignal
}

async function askWitness(session: Session, question: Question): Promise<readonly VerifiedSignature[]> {
  const { head, note, read, signal } = question
  const checkpoint = addSignatures(note, [])
  for (let tries = 0; tries < triesMax; tries++) {
    // A size beyond ours was this witness's last word: asked from zero, it says its size again.
    const oldSize = session.seen > head.size ? 0 : session.seen
    const proof = await proveConsistency(oldSize, head.size, read)
    const answer = await session.client.addCheckpoint(encodeAddCheckpoint({ oldSize, proof, checkpoint }), signal)
    if (answer.kind === 'cosigned') {
      const signatures = parseSignatureLines(answer.lines)
      const verified = await verifyNote({ text: note.text, signatures }, [session.key])
      if (verified.length === 0) throw unavailable(`witness ${session.key.name} did not sign with its key`)
      session.seen = head.size
      return verified
    }
    if (answer.kind === 'refused') {
      if (answer.status !== 422) throw unavailable(`witness ${session.key.name} answered ${answer.status}`)
      throw new Failure<LogCode>('log/forked', `witness ${session.key.name} has cosigned another tree of this log`)
    }
    session.seen = answer.size
    if (answer.size > head.size) {
      const message = `witness ${session.key.name} has seen ${answer.size} entries, this log has ${head.size}`
      throw new Failure<LogCode>('log/rollback', message, { detail: { seen: answer.size, stored: head.size } })
    }
  }
  throw unavailable(`witness ${session.key.name} kept changing its size`)
}

function unavailable(message: string, detail?: Readonly<Record<string, unknown>>): Failure<LogCode> {
  return new Failure<LogCode>('log/witness-unavailable', message, detail === undefined ? {} : { detail })
}

/** The witnesses of one log and the quorum that a checkpoint of it needs. */
export class Witnesses {
  readonly #sessions: readonly Session[]
  readonly #policy: TlogPolicy

  /** throws  log/policy for a witness that the policy does not know, tlog/vkey */
  constructor(clients: readonly WitnessClient[], policy: TlogPolicy) {
    this.#policy = policy
    this.#sessions = clients.map((client) => ({ client, key: parseVkey(client.vkey), seen: 0 }))
    for (const { key } of this.#sessions) {
      if (!policy.witnesses.some((one) => one.key.id === key.id && one.key.publicKey.x === key.publicKey.x)) {
        throw new Failure<LogCode>('log/policy', `witness ${key.name} does not stand in the quorum policy`)
      }
    }
  }

  /** Another writer of this log had a tree of this size cosigned: where a witness has not seen it, it says so. */
  expect(size: number): void {
    for (const session of this.#sessions) session.seen = Math.max(session.seen, size)
  }

  /**
   * The checkpoint with the cosignatures of a quorum, as soon as there is one.
   *
   * read    hashes of the tree, for the consistency proofs
   * now     cosignatures from a later time, with the usual allowance, do not count
   * signal  fires when the round has lasted long enough
   * throws  log/rollback, log/forked when there is no quorum and a witness says so; else log/witness-unavailable
   */
  async cosign(head: TreeHead, note: Note, read: ReadNodes, now: UnixSeconds, signal: AbortSignal): Promise<string> {
    const round = new AbortController()
    const stop = () => round.abort()
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, { once: true })
    const signatures: VerifiedSignature[] = []
    const failures: Failure[] = []
    const isEnough = () => {
      try {
        verifyQuorum(this.#policy, signatures, now + clockSkewSeconds)
        return true
      } catch (error) {
        if (!isFailure(error)) throw error
        return false
      }
    }
    const ask = async (session: Session) => {
      try {
        signatures.push(...(await askWitness(session, { head, note, read, signal: round.signal })))
      } catch (error) {
        if (!isFailure(error)) throw error
        failures.push(error)
      }
    }
    try {
      await firstOrAll(this.#sessions.map(ask), isEnough)
      if (isEnough())
        return addSignatures(
          note,
          signatures.map((one) => one.line),
        )
    } finally {
      // Whoever is still asked when the quorum stands is not waited for: the next round tells it more.
      stop()
      signal.removeEventListener('abort', stop)
    }
    throw failures.find((one) => one.code === 'log/rollback' || one.code === 'log/forked') ?? this.#tooFew(failures)
  }

  #tooFew(failures: readonly Failure[]): Failure<LogCode> {
    const why = failures.map((one) => `${one.code}: ${one.message}`)
    return unavailable(`no quorum of cosignatures (${why.join('; ') || 'nobody was asked'})`, { why })
  }
}

/** Returns when `isEnough` holds after one of `jobs`, or when all have ended. */
async function firstOrAll(jobs: readonly Promise<void>[], isEnough: () => boolean): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    if (isEnough()) resolve()
    for (const job of jobs) job.then(() => isEnough() && resolve(), reject)
    Promise.all(jobs).then(() => resolve(), reject)
  })
}
