import { generateSigningKey, type SigningKey } from '#core/crypto/sign.js'
import { Failure } from '#core/failure.js'
import { emptyRoot } from '#core/tlog/merkle.js'
import type { LogTrust } from '#core/tlog/verify.js'
import { encodeVkey, makeNoteSigner, parseVkey } from '#core/tlog/vkey.js'
import type { Database } from '#host/database.js'
import type { Log } from '#transparency/log.js'
import type { SequencerLimits } from '#transparency/ports.js'
import { createLog, openLog } from '#transparency/storage/open.js'
import type { SeenTree } from '#transparency/witness/rule.js'
import { Witness } from '#transparency/witness/witness.js'
import type { WitnessAnswer, WitnessClient } from '#transparency/witnesses.js'

export const origin = 'log.example/test'

/** A witness in this process, with switches for what goes wrong. */
export interface TestWitness extends WitnessClient {
  away: boolean
  /** cosigns, but the answer is lost on the way */
  losesAnswers: boolean
  readonly seen: Map<string, SeenTree>
  /** checkpoints it was asked to cosign, as size and root in base64 */
  readonly asked: string[]
}

const wallClock = () => Math.floor(Date.now() / 1000)

export async function testWitness(name: string, logVkey: string, now = wallClock): Promise<TestWitness> {
  const { key } = await generateSigningKey('Ed25519')
  const seen = new Map<string, SeenTree>()
  const witness = new Witness({
    signer: makeNoteSigner(name, 'cosigner', key),
    logs: [parseVkey(logVkey)],
    now,
    store: {
      seen: async (log) => seen.get(log) ?? { size: 0, rootHash: emptyRoot },
      record: async (log, tree) => void seen.set(log, tree),
    },
  })
  const client: TestWitness = {
    vkey: witness.vkey,
    away: false,
    losesAnswers: false,
    seen,
    asked: [],
    async addCheckpoint(body): Promise<WitnessAnswer> {
      if (client.away) throw new Failure('log/witness-unavailable', 'away')
      const [size, root] = body
        .slice(body.indexOf('\n\n') + 2)
        .split('\n')
        .slice(1, 3)
      client.asked.push(`${size} ${root}`)
      const reply = await witness.answer(body)
      if (client.losesAnswers) throw new Failure('log/witness-unavailable', 'answer lost')
      if (reply.status === 200) return { kind: 'cosigned', lines: reply.lines }
      return reply.status === 409 ? { kind: 'conflict', size: reply.size } : { kind: 'refused', status: reply.status }
    },
  }
  return client
}

export interface TestLog {
  readonly signer: SigningKey
  readonly vkey: string
  readonly witnesses: readonly TestWitness[]
  readonly quorumPolicy: string
  readonly trust: LogTrust
  open(database: Database, limits?: Partial<SequencerLimits>): Promise<Log>
}

/** A log in an empty database, with `count` witnesses of which `needed` must cosign. */
export async function testLog(database: Database, count = 1, needed = count, now = wallClock): Promise<TestLog> {
  const { key: signer } = await generateSigningKey('Ed25519')
  const vkey = await createLog({ database, origin, signer })
  const names = Array.from({ length: count }, (_, i) => `w${i}`)
  const witnesses = await Promise.all(names.map((name) => testWitness(`witness.example/${name}`, vkey, now)))
  const quorumPolicy = [
    ...witnesses.map((witness, i) => `witness w${i} ${witness.vkey}`),
    ...(count > 0 ? [`group all-witnesses ${needed} ${names.join(' ')}`] : []),
    `quorum ${count > 0 ? 'all-witnesses' : 'none'}`,
    '',
  ].join('\n')
  return {
    signer,
    vkey,
    witnesses,
    quorumPolicy,
    trust: { logVkeys: [vkey], policy: quorumPolicy },
    open: (opened, limits = {}) =>
      openLog({
        database: opened,
        origin,
        signer,
        witnesses,
        quorumPolicy,
        limits: { cosignMs: 500, retryMs: 50, ...limits },
      }),
  }
}

export function vkeyOf(name: string, key: SigningKey): string {
  return encodeVkey(makeNoteSigner(name, 'log', key).verifier)
}
