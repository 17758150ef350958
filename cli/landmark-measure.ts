import type { Command } from 'commander'
import { readDocument } from '#cli/input.js'
import { lineName, repeated, wholeNumber } from '#cli/option-values.js'
import { exitCodes, type Io } from '#cli/output.js'
import { type ResultKind, verifyResultPlace, writeResult } from '#cli/result-file.js'
import { loadTrust } from '#cli/trust-store.js'
import { loadOwnerPublicKey } from '#convert/keys/owner-keys.js'
import { fromBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { randomBytes } from '#core/crypto/hash.js'
import { type Ed25519Jwk, jwkToSpki, thumbprint } from '#core/crypto/jwk.js'
import type { SigningKey } from '#core/crypto/sign.js'
import { envelopeShape } from '#core/dsse.js'
import { canonicalJson } from '#core/encoding/json.js'
import { encodePem } from '#core/encoding/pem.js'
import { literal } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { ticketSecondsMax } from '#core/limits.js'
import { readTicket, signTicket, ticketPayloadType } from '#core/wire/landmark.js'
import { landmarkReceiptPayloadType, readLandmarkReceipt } from '#core/wire/landmark-receipt.js'
import { verifyNewFile, writeFileDurably } from '#host/files.js'
import { createSigningKeyFile, loadSigningKeyFile } from '#host/signing-key-file.js'
import { landmarkNamed, verifyLandmarks } from '#policies/location/landmarks.js'
import { keepersOf } from '#policies/registry/keepers.js'
import { beMeasured } from '#runtime/landmark/measure.js'

/** Failures of keys for tickets and measuring. */
export type LandmarkKeyCode =
  /** not an Ed25519 key, or not the one that the ticket names */
  'landmark-key/key'

const ticketResult: ResultKind = {
  what: 'ticket',
  shape: (value, at) => literal(ticketPayloadType)(envelopeShape(value, at).payloadType, at),
}
const receiptResult: ResultKind = {
  what: 'receipt of a landmark',
  shape: (value, at) => literal(landmarkReceiptPayloadType)(envelopeShape(value, at).payloadType, at),
}

const isEd25519 = (key: SigningKey): key is SigningKey & { readonly publicKey: Ed25519Jwk } =>
  key.algorithm === 'Ed25519'

async function loadKey(path: string): Promise<SigningKey & { readonly publicKey: Ed25519Jwk }> {
  const key = await loadSigningKeyFile(path)
  if (!isEd25519(key)) throw new Failure<LandmarkKeyCode>('landmark-key/key', `${path} is no Ed25519 key`)
  return key
}

interface KeyArguments {
  readonly out: string
  readonly json?: boolean | undefined
}

/** A key to try with: a broker's that signs tickets, or one that is timed. A node's own never leaves its process. */
async function runKey({ out, json }: KeyArguments, io: Io): Promise<number> {
  const publicPath = `${out}.pub.pem`
  await verifyNewFile(publicPath)
  const { id, publicKey } = await createSigningKeyFile(out)
  await writeFileDurably(publicPath, utf8(encodePem(jwkToSpki(publicKey), 'PUBLIC KEY')))
  if (json) io.stdout(`${JSON.stringify({ out, public: publicPath, key: id })}\n`)
  else io.stdout(`${out}: private, ${publicPath}: public, ${id}\n`)
  return exitCodes.ok
}

interface TicketArguments {
  readonly key: string
  readonly for: string
  readonly landmark: readonly string[]
  readonly seconds: number
  readonly out: string
  readonly json?: boolean | undefined
}

/** A broker's act: leave for a key to be timed. */
async function runTicket(args: TicketArguments, io: Io): Promise<number> {
  await verifyResultPlace(args.out, ticketResult)
  const broker = await loadKey(args.key)
  const timed = await loadOwnerPublicKey(args.for)
  if (timed.kty !== 'OKP') throw new Failure<LandmarkKeyCode>('landmark-key/key', `${args.for} is no Ed25519 key`)
  const issuedAt = io.now()
  const session = toHex(randomBytes(16))
  // A key in a file is of no keyset: zeros say so, and are the digest of none.
  const keyset = '0'.repeat(64)
  const envelope = await signTicket(
    {
      type: 'claviger/landmark-ticket/v1',
      session,
      key: timed,
      keyset,
      lease: null,
      landmarks: args.landmark,
      issuedAt,
      notAfter: issuedAt + args.seconds,
    },
    broker,
  )
  await writeResult(args.out, canonicalJson(envelope), ticketResult)
  if (args.json)
    io.stdout(`${JSON.stringify({ out: args.out, session, landmarks: args.landmark, key: thumbprint(timed) })}\n`)
  else io.stdout(`${args.out}: session ${session}, for ${args.seconds} s\n`)
  return exitCodes.ok
}

interface MeasureArguments {
  readonly directory: string
  readonly trust: string
  readonly ticket: string
  readonly key: string
  readonly landmark: string
  readonly timeout: number
  readonly out: string
  readonly json?: boolean | undefined
}

/** Lets a key be timed by a landmark, and keeps the receipt. */
async function runMeasure(args: MeasureArguments, io: Io): Promise<number> {
  await verifyResultPlace(args.out, receiptResult)
  const key = await loadKey(args.key)
  const { trust } = await loadTrust(args.trust, io.now())
  const signed = await readDocument(args.directory, envelopeShape, 'directory of landmarks')
  const { document } = await verifyLandmarks(signed, keepersOf(trust.registries), io.now())
  const landmark = landmarkNamed(document, args.landmark, io.now())
  const ticket = await readDocument(args.ticket, envelopeShape, 'ticket')
  if (thumbprint(readTicket(fromBase64(ticket.payload)).key) !== key.id)
    throw new Failure<LandmarkKeyCode>('landmark-key/key', `${args.ticket} is not for the key ${key.id}`)
  const receipt = await beMeasured({ landmark, ticket, key, timeoutMs: args.timeout * 1000 })
  await writeResult(args.out, canonicalJson(receipt), receiptResult)
  const { sent, answered, rttNs } = readLandmarkReceipt(fromBase64(receipt.payload))
  if (args.json) io.stdout(`${JSON.stringify({ out: args.out, landmark: landmark.name, sent, answered, rttNs })}\n`)
  else
    io.stdout(
      `${args.out}: ${landmark.name} counts ${answered} of ${sent} answers, the shortest after ${(rttNs.min / 1e6).toFixed(3)} ms\n`,
    )
  return exitCodes.ok
}

export function describeMeasuring(landmark: Command, io: Io): void {
  const writing = (name: string, description: string, example: string) =>
    landmark
      .command(name)
      .description(description)
      .requiredOption('--out <file>', 'where to write it')
      .option('--json', 'print what was written as JSON')
      .addHelpText('after', `\nExample:\n  ./claviger landmark ${example}`)
  writing('key', 'make a key pair to try with: of a broker, or one that is timed', 'key --out node.key').action(
    async (args: KeyArguments) => io.exit(await runKey(args, io)),
  )
  writing(
    'ticket',
    "a broker's act: leave for a key to be timed by landmarks, once",
    'ticket --key broker.key --for node.key.pub.pem --landmark fra-1 --landmark ams-1 --out ticket.json',
  )
    .requiredOption('--key <file>', "the broker's private key (Ed25519)")
    .requiredOption('--for <file>', 'the public key that is timed (Ed25519, PEM)')
    .requiredOption('--landmark <name>', 'who may time it; repeat for up to eight', repeated(lineName), [])
    .option('--seconds <number>', 'how long it holds', wholeNumber(1, ticketSecondsMax, 120), 120)
    .action(async (args: TicketArguments) => io.exit(await runTicket(args, io)))
  writing(
    'measure',
    'let a key be timed by a landmark, and keep the receipt',
    'measure --landmark fra-1 --ticket ticket.json --key node.key --directory landmarks.json --trust trust.json --out fra-1.json',
  )
    .requiredOption('--landmark <name>', 'of the directory', lineName)
    .requiredOption('--ticket <file>', "a broker's leave for this key")
    .requiredOption('--key <file>', 'the private key that is timed (Ed25519)')
    .requiredOption('--directory <file>', 'the signed directory of landmarks')
    .requiredOption('--trust <file>', 'your trust file: its `registries` keep the directory')
    .option('--timeout <seconds>', 'in all', wholeNumber(1, 120, 20), 20)
    .action(async (args: MeasureArguments) => io.exit(await runMeasure(args, io)))
}
