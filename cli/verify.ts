import { randomBytes } from 'node:crypto'
import type { Command } from 'commander'
import * as bundle from '#cli/bundle-verify.js'
import { renderCard, renderSteps } from '#cli/card.js'
import {
  clientPolicy,
  describePolicy,
  type PolicyArguments,
  readDemands,
  refusePolicy,
  resolveModel,
} from '#cli/client-policy.js'
import { readJudged, receiveJudged, refuseJudged, typeOf } from '#cli/judged-file.js'
import { exitCodes, type Io, paint } from '#cli/output.js'
import * as receipt from '#cli/receipt.js'
import { loadTrust } from '#cli/trust-store.js'
import { isBundleType } from '#client/any-bundle.js'
import { displayModel, nodeFacts } from '#client/card.js'
import { fetchNodeDocument } from '#client/node-client.js'
import type { VerifiedNode } from '#client/node-trust.js'
import { type Judged, judged } from '#client/steps.js'
import { nodeSteps, verifyNode } from '#client/verify-node.js'
import { toBase64Url } from '#core/bytes/bytes.js'
import type { Json } from '#core/encoding/json.js'
import { Failure } from '#core/failure.js'
import { nodeDocumentShape } from '#core/wire/node-document.js'
import type { Trust } from '#core/wire/trust-file.js'

/** Failures of naming what to verify. */
export type VerifyCommandCode = 'verify/trust-needed' | 'verify/kind'

export interface VerifyArguments extends PolicyArguments {
  /** URL of a node, or path of a node document, receipt or decision bundle */
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
  if (/^https?:\/\//.test(args.target)) return runNode(args, io)
  const read = await readJudged(args.target, 'document')
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
  const message = `${args.target} is neither a node document nor a receipt nor a bundle of the log`
  return refuseJudged(new Failure<VerifyCommandCode>('verify/kind', message), args.json, io)
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
    .argument('<url|file>', 'URL of a node, or a node document, receipt or bundle of the log in a file')
    .description('verify a node, a receipt or a decision against your own trust file')
    .option('--trust <file>', 'your trust file')
    .option('--json', 'print the verdict as JSON')
    .addHelpText(
      'after',
      '\nExample:\n  ./claviger verify http://127.0.0.1:8790 --trust trust.json --dangerous-allow-simulated\n\nExit 0 verified, 3 verdict against or simulated, 1 failure, 2 usage.',
    )
  describePolicy(command).action(async (target: string, options: Omit<VerifyArguments, 'target'>) => {
    io.exit(await run({ ...options, target }, io))
  })
}
