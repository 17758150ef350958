import type { Command } from 'commander'
import { type InputCode, readInput } from '#cli/input.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { type Ed25519Jwk, type SignatureJwk, spkiToJwk } from '#core/crypto/jwk.js'
import { parsePem } from '#core/encoding/pem.js'
import { Failure, isFailure } from '#core/failure.js'
import { KiB } from '#core/limits.js'
import type { KbsSettings } from '#keybroker/service/kbs.js'

/** What the KBS route is started with, as it was typed. */
export interface KbsArguments {
  readonly kbsAdminKey?: readonly string[] | undefined
  readonly kbsVerifier?: readonly string[] | undefined
}

const keysMax = 8

async function keysOf(path: string, what: string): Promise<readonly SignatureJwk[]> {
  const text = await readInput(path, what, 16 * KiB)
  try {
    return parsePem(fromUtf8(text), 'PUBLIC KEY', keysMax).map(spkiToJwk)
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<InputCode>('input/document', `${what} ${path}: ${cause.message}`, {
      cause,
      detail: { hint: 'a PEM file of public keys is expected: Ed25519, or P-256 for a verifier; RSA is not taken' },
    })
  }
}

/** The keys in the files. @throws input/unreadable, input/size, input/document */
export async function kbsOf(args: KbsArguments): Promise<KbsSettings> {
  const adminKeys: Ed25519Jwk[] = []
  for (const path of args.kbsAdminKey ?? []) {
    for (const key of await keysOf(path, 'administrator’s key')) {
      if (key.kty !== 'OKP')
        throw new Failure<InputCode>('input/document', `administrator’s key ${path} is not an Ed25519 key`, {
          detail: { hint: 'openssl genpkey -algorithm ed25519 makes one; -pubout gives its public half' },
        })
      adminKeys.push(key)
    }
  }
  const verifiers = (await Promise.all((args.kbsVerifier ?? []).map((path) => keysOf(path, 'verifier’s key')))).flat()
  return { adminKeys, verifiers }
}

const all = (text: string, before: readonly string[]) => [...before, text]

export function kbsOptions(command: Command): Command {
  return command
    .option('--kbs-admin-key <file>', 'who signs tokens of KBS administrators: Ed25519, PEM; repeat for more', all, [])
    .option('--kbs-verifier <file>', 'whose KBS tokens are taken beside our own: PEM; repeat for more', all, [])
}
