import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import { readPemBundle } from '#attest/pem-bundle.js'
import { recognise } from '#attest/recognise.js'
import * as attest from '#cli/attest/verify.js'
import * as bundle from '#cli/bundle-verify.js'
import { renderCard, renderSteps } from '#cli/card.js'
import {
  clientPolicy,
  describePolicy,
  type PolicyArguments,
  readDemands,
  refusePolicy,
  resolveModel,
  type UsageCode,
} from '#cli/client-policy.js'
import { documentIn, type JudgedFile, readJudgedBytes, receiveJudged, refuseJudged, typeOf } from '#cli/judged-file.js'
import { isServiceUrl } from '#cli/option-values.js'
import { exitCodes, type Io, paint } from '#cli/output.js'
import * as receipt from '#cli/receipt.js'
import { loadTrust } from '#cli/trust-store.js'
import type { WordsCode } from '#cli/words.js'
import { isBundleType } from '#client/any-bundle.js'
import { displayModel, nodeFacts } from '#client/card.js'
import { fetchNodeDocument } from '#client/node-client.js'
import type { VerifiedNode } from '#client/node-trust.js'
import { type Judged, judged } from '#client/steps.js'
import { nodeSteps, verifyNode } from '#client/verify-node.js'
import { toBase64Url } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { nodeDocumentShape } from '#core/wire/node-document.js'
import type { Trust } from '#core/wire/trust-file.js'

/** Failures of naming what to verify. */
export type VerifyCommandCode = 'verify/trust-needed' | 'verify/kind'

/** What a piece of evidence is compared with. */
const evidenceDemands = ['collateral', 'nonce', 'reportData', 'binding', 'referenceValues'] as const
type EvidenceArguments = Pick<attest.AttestVerifyArguments, (typeof evidenceDemands)[number]>

export interface VerifyArguments extends PolicyArguments, EvidenceArguments {
  /** URL of a node, or path of a node document, receipt, decision bundle or piece of evidence */
  readonly target: string
  readonly trust?: string | undefined
  readonly json?: boolean | undefined
}

function trustNeeded(): Failure {
  return new Failure<VerifyCommandCode>(
    'verify/trust-needed',
    'a node is verified against your own trust file, and none is given',
    {
      detail: {
        hint: 'add --trust trust.json; make one with: ./claviger init --broker URL --owner KEYS --out trust.json',
      },
    },
  )
}

/**
 * Verifies a node by its URL, or a node document, receipt or decision bundle in a file. Exit 0 only when every step passed on
 * hardware, 3 when what was read is not good, whatever it is.
 */
export async function run(args: VerifyArguments, io: Io): Promise<number> {
  readDemands(args)
  if (/^https?:\/\//.test(args.target)) {
    refuseEvidenceDemands(args)
    if (!isServiceUrl(args.target))
      throw new Failure<WordsCode>('usage/address', `${args.target} is no address of a node`, {
        detail: { hint: 'it has a scheme, a host and perhaps a port, such as http://127.0.0.1:8790' },
      })
    return runNode(args, io)
  }
  const file = await readJudgedBytes(args.target, 'document')
  const read = 'failure' in file ? file : await documentIn(file.bytes)
  if ('bytes' in file && isEvidence(file.bytes, read)) {
    refusePolicy(args, 'a piece of evidence')
    return attest.runBytes({ ...args, file: args.target }, file.bytes, io)
  }
  refuseEvidenceDemands(args)
  if ('failure' in read) return refuseJudged(read.failure, args.json, io)
  const type = typeOf(read.document)
  if (type === 'claviger/node/v1') return runDocument(args, read.document, null, io)
  if (type === 'claviger/receipt-file/v1') {
    refusePolicy(args, 'a receipt: it is judged by the policy that it echoes')
    return receipt.run({ ...args, file: args.target }, io)
  }
  if (isBundleType(type)) {
    refusePolicy(args, 'a bundle of the log')
    return bundle.run({ ...args, file: args.target }, io)
  }
  const message = `${args.target} is no node document, receipt, bundle of the log or piece of evidence`
  return refuseJudged(new Failure<VerifyCommandCode>('verify/kind', message), args.json, io)
}

/** Our own documents say their type; evidence has a kind, or is no JSON at all. */
function isEvidence(bytes: Uint8Array, read: JudgedFile): boolean {
  if ('document' in read && typeOf(read.document) !== '') return false
  try {
    if (readPemBundle(bytes) === null) recognise(bytes)
    return true
  } catch (error) {
    if (!isFailure(error)) throw error
    return false
  }
}

/** What would not be compared is not taken in silence. @throws usage/policy */
function refuseEvidenceDemands(args: VerifyArguments): void {
  const typed = evidenceDemands.find((name) => args[name] !== undefined)
  if (typed !== undefined)
    throw new Failure<UsageCode>('usage/policy', `${typed} is a demand on evidence, and ${args.target} is none`)
}

async function runNode(args: VerifyArguments, io: Io): Promise<number> {
  if (args.trust === undefined) throw trustNeeded()
  // A trust file that is not good, and a model that it does not know, are found before anything is sent.
  const { trust } = await loadTrust(args.trust, io.now())
  if (args.model !== undefined) resolveModel(args.model, trust)
  const nonce = toBase64Url(new Uint8Array(randomBytes(32)))
  const address = { url: args.target, fetch: globalThis.fetch, timeoutMs: 60_000 }
  const read = await receiveJudged(() => fetchNodeDocument(address, nonce))
  if ('failure' in read) return refuseJudged(read.failure, args.json, io)
  return runDocument(args, read.document, nonce, io)
}

async function runDocument(args: VerifyArguments, document: Json, nonce: string | null, io: Io): Promise<number> {
  if (args.trust === undefined) throw trustNeeded()
  const { trust } = await loadTrust(args.trust, io.now())
  const named = args.model === undefined ? null : resolveModel(args.model, trust)
  const verdict = await judged(nodeSteps, async (steps) => {
    const { config } = await steps.step('node/form', () => nodeDocumentShape(document, 'node'))
    // Without --model the node may serve any model of an owner in the trust file, and the card says which.
    const policy = { ...clientPolicy(args, trust, named ?? config.model), dangerousAllowSimulated: true }
    return verifyNode(document, { trust, policy, nonce, at: io.now() }, steps)
  })
  return report(args, verdict, trust, args.dangerousAllowSimulated === true, io)
}

function report(
  args: VerifyArguments,
  verdict: Judged<VerifiedNode>,
  trust: Trust,
  allowSimulated: boolean,
  io: Io,
): number {
  const simulated = verdict.ok && verdict.value.platform === 'simulated'
  const accepted = verdict.ok && (!simulated || allowSimulated)
  const word = !verdict.ok ? 'NOT VERIFIED' : simulated ? 'SIMULATED: NOT HARDWARE' : 'VERIFIED'
  if (args.json) {
    const facts = verdict.ok ? nodeFacts(verdict.value, trust) : []
    const failure = verdict.ok ? null : { code: verdict.failure.code, message: verdict.failure.message }
    io.stdout(
      `${JSON.stringify({ verdict: word, accepted, hardware: verdict.ok && !simulated, failure, steps: verdict.steps, facts }, null, 2)}\n`,
    )
  } else {
    io.stdout(renderSteps(verdict.steps, io))
    if (verdict.ok) {
      const { lease } = verdict.value
      const sentence = `Node serves model ${displayModel(lease.model, trust)} v${lease.version}.`
      io.stdout(renderCard({ sentence, facts: nodeFacts(verdict.value, trust), notHardware: simulated }, io))
    }
    io.stdout(`${paint(io, accepted ? 'green' : 'red', word)}\n`)
  }
  if (simulated && !allowSimulated) {
    io.stderr(
      `${paint(io, 'cyan', 'hint:')} add --dangerous-allow-simulated to accept a simulated node, for development only\n`,
    )
  }
  if (!verdict.ok && typeof verdict.failure.detail?.hint === 'string')
    io.stderr(`hint: ${verdict.failure.detail.hint}\n`)
  return accepted ? exitCodes.ok : exitCodes.verdict
}

export function describe(program: Command, io: Io): void {
  const command = program
    .command('verify')
    .argument('<url|file>', 'URL of a node, or a node document, receipt, bundle of the log or evidence in a file')
    .description('verify a node, a receipt, a decision or a piece of evidence by your own anchors')
    .option('--trust <file>', 'your trust file')
    .option('--json', 'print the verdict as JSON')
    .option('--collateral <dir>', 'of evidence: folder of certificates and other documents of the vendor')
    .option('--nonce <hex>', 'of evidence: the nonce that it has to answer')
    .option('--report-data <hex>', 'of evidence: the 64 bytes that it has to carry')
    .option('--binding <file>', 'of evidence: what a node of ours binds (JSON), which joins devices to their machine')
    .option('--reference-values <file>', 'of evidence: what you accept')
    .addHelpText(
      'after',
      '\nExamples:\n  ./claviger verify http://127.0.0.1:8790 --trust trust.json --dangerous-allow-simulated\n  ./claviger verify quote.bin --collateral collateral/\n\nExit 0 verified, 3 verdict against or simulated, 1 failure, 2 usage.',
    )
  describePolicy(command).action(async (target: string, options: Omit<VerifyArguments, 'target'>) => {
    io.exit(await run({ ...options, target }, io))
  })
}
