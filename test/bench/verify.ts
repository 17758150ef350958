/**
 * `verify`: whole verifications a second, from envelope to claims and digests. TDX and SGX against another verifier, which
 * has to say the same of the same quotes first; SNP, Nitro and NVIDIA against the bare signature verifications that they
 * cannot do without. `cold`: no caches. `cold-keys`: no imported key is left in the process either. `warm`: parsed
 * collateral and verified chains are kept. What the machine itself signed is verified on every call: the notes count the
 * verifications that were really made. Figures are by the processor time of this process, since machines are shared.
 */
import { createPublicKey, generateKeyPairSync, verify as verifyBare } from 'node:crypto'
import { QuoteVerifier } from '@phala/dcap-qvl'
import { type Caches, makeCaches } from '#attest/caches.js'
import { verifyEvidence } from '#attest/kinds.js'
import { noTrace } from '#attest/trace.js'
import { evidenceOf } from '#attest/vectors/dcap.js'
import { roleOf } from '#attest/vectors/judge.js'
import { ecdsaRawToDer } from '#core/crypto/ecdsa.js'
import { backend } from '#crypto-backend'
import { type DcapRun, dcapRuns, difference, oracleInput, oracleVerdict, ourVerdict } from '../interop/dcap-oracle.js'
import { comparisonLine } from './compare.js'
import { type Given, goodRuns, kindFolder, vectorsName } from './verify-cases.js'

const rounds = 9

/** One side of a comparison: `prepare` is not timed. */
interface Side {
  readonly calls: number
  prepare?(): Promise<void>
  call(i: number): unknown
}

/** Calls in a second of processor time. */
async function rate({ calls, prepare, call }: Side): Promise<number> {
  let total = 0
  let start = process.cpuUsage()
  for (let i = 0; i < calls; i++) {
    if (prepare) {
      await prepare()
      start = process.cpuUsage()
    }
    await call(i)
    if (!prepare && i < calls - 1) continue
    const { user, system } = process.cpuUsage(start)
    total += user + system
  }
  return (calls / total) * 1e6
}

async function compare(name: string, goal: number, ours: Side, peer: Side): Promise<void> {
  for (let i = 0; i < 3; i++) await rate(ours)
  await rate(peer)
  const comparison = { name, goal, ours: [] as number[], peer: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    comparison.ours.push(await rate(ours))
    comparison.peer.push(await rate(peer))
  }
  process.stdout.write(comparisonLine(comparison))
}

type Verification = Parameters<typeof backend.verify>

/** The signatures that one call verifies, by asking the backend. */
async function verificationsOf(call: () => Promise<unknown>): Promise<readonly Verification[]> {
  const { verify } = backend
  const out: Verification[] = []
  backend.verify = (...given) => {
    out.push(given)
    return verify(...given)
  }
  try {
    await call()
  } finally {
    backend.verify = verify
  }
  return out
}

const strangers = Array.from({ length: 256 }, () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return new Uint8Array(publicKey.export({ format: 'der', type: 'spki' }))
})
const noSignature = new Uint8Array(64)

/** The backend keeps the last keys that it imported: strangers' keys take their place. */
async function forgetKeys(): Promise<void> {
  for (const spki of strangers) await backend.verify('ES256', spki, noSignature, noSignature)
}

const verifyOurs = ({ evidence, at, simulatedRoots }: Given, caches?: Caches) =>
  verifyEvidence(evidence, { simulatedRoots }, at, noTrace, caches)

async function benchDcap(tee: 'tdx' | 'sgx'): Promise<void> {
  const same: DcapRun[] = []
  for (const run of dcapRuns(kindFolder(tee), tee)) {
    const ours = await ourVerdict(run)
    if (ours.kind === 'accepted' && difference(ours, oracleVerdict(run)) === null) same.push(run)
  }
  if (same.length === 0) throw new Error(`no case of ${tee} on which both verifiers agree`)
  process.stderr.write(`${tee}: both say the same of ${same.map((run) => run.name).join(', ')}\n`)
  const ours = same.map((run): Given => {
    const { at, simulatedRoots } = run.input
    const evidence = evidenceOf(tee, run.input)
    // The other verifier reads no event log.
    return { evidence: evidence.kind === 'tdx' ? { ...evidence, eventLog: null } : evidence, at, simulatedRoots }
  })
  const theirs = same.map((run) => {
    const { root, collateral } = oracleInput(run)
    const verifier = QuoteVerifier.newWithRootCa(Buffer.from(root))
    const quote = roleOf(run.input, 'quote')
    return () => verifier.verify(quote, collateral, run.input.at)
  })
  const caches = makeCaches()
  for (const one of ours) await verifyOurs(one, caches)
  const [cold, warm] = [
    await verificationsOf(() => verifyOurs(ours[0]!)),
    await verificationsOf(() => verifyOurs(ours[0]!, caches)),
  ]
  process.stderr.write(`${tee}: signatures verified a call: ${cold.length} cold, ${warm.length} warm\n`)
  const peer: Side = { calls: 50, call: (i) => theirs[i % theirs.length]!() }
  const plain = (i: number) => verifyOurs(ours[i % ours.length]!)
  await compare(`${tee}/cold`, 8, { calls: 400, call: plain }, peer)
  await compare(`${tee}/cold-keys`, 8, { calls: 40, prepare: forgetKeys, call: plain }, peer)
  await compare(`${tee}/warm`, 25, { calls: 1200, call: (i) => verifyOurs(ours[i % ours.length]!, caches) }, peer)
}

/** `own`: how many signatures of the machine itself the evidence carries. */
async function benchBare(kind: 'snp' | 'nitro' | 'gpu', own: (given: Given) => number): Promise<void> {
  const cases = await goodRuns(kind)
  const caches = makeCaches()
  const bare: (() => boolean)[][] = []
  for (const one of cases) {
    await verifyOurs(one, caches)
    const needed = await verificationsOf(() => verifyOurs(one, caches))
    if (needed.length !== own(one)) throw new Error(`${one.name} verified ${needed.length} signatures when warm`)
    bare.push(
      needed.map(([, spki, message, signature]) => {
        const key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
        const der = ecdsaRawToDer(signature) // with the key alone the cheapest way that Node has
        return () => verifyBare('sha384', message, key, der)
      }),
    )
  }
  const most = Math.max(...bare.map((one) => one.length))
  process.stderr.write(`${kind}: ${cases.length} cases; signatures verified a call on both sides: 1 to ${most}, warm\n`)
  // Each case as often as every other, and as many calls for every kind: code that is fresh from its start is slower.
  const calls = Math.ceil(300 / cases.length) * cases.length
  const ours: Side = { calls, call: (i) => verifyOurs(cases[i % cases.length]!, caches) }
  const call = (i: number) => {
    if (!bare[i % bare.length]!.every((verify) => verify())) throw new Error('not signed')
  }
  await compare(`${kind}/warm`, 0.8, ours, { calls, call })
}

const benches = {
  tdx: () => benchDcap('tdx'),
  sgx: () => benchDcap('sgx'),
  snp: () => benchBare('snp', () => 1),
  nitro: () => benchBare('nitro', () => 1),
  gpu: () => benchBare('gpu', ({ evidence }) => (evidence.kind === 'gpu' ? evidence.devices.length : 0)),
}

/** `[KIND,KIND]`: all kinds without it. */
export async function run([kinds]: readonly string[]): Promise<void> {
  const wanted = kinds?.split(',') ?? Object.keys(benches)
  const unknown = wanted.find((kind) => !Object.hasOwn(benches, kind))
  if (unknown !== undefined) throw new Error(`no kind ${unknown}: ${Object.keys(benches).join(', ')}`)
  process.stderr.write(`verify: ${vectorsName}, ${rounds} rounds, both sides in turn\n`)
  for (const [kind, bench] of Object.entries(benches)) if (wanted.includes(kind)) await bench()
  process.stderr.write('calls in a second of processor time, one thread; the ratio is that of one round\n')
}
