import { type Command, InvalidArgumentError } from 'commander'
import { readInput } from '#cli/input.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { Failure, isFailure } from '#core/failure.js'
import { KiB } from '#core/limits.js'
import { clientAddress } from '#host/client-address.js'
import { readSecretFile } from '#host/files.js'
import type { ListenTls } from '#host/listen.js'
import type { TlsIdentity } from '#host/pkcs12.js'
import type { IssuerOptions } from '#keybroker/service/issuers.js'

/** Failures of what a service is started with at its rim. */
export type RimCode =
  /** a certificate without its key, both forms at once, or a bundle without its password */
  'serve/tls'

/** What a service is started with at its rim, as it was typed. */
export interface RimArguments {
  readonly tlsCert?: string | undefined
  readonly tlsKey?: string | undefined
  readonly tlsP12?: string | undefined
  readonly tlsPasswordFile?: string | undefined
  readonly trustedProxy?: readonly string[] | undefined
  readonly oidcCa?: string | undefined
  readonly oidcPrivate?: readonly string[] | undefined
}

/** How a broker meets those who speak with it, and the issuers of their tokens. */
export interface RimSettings {
  /** absent: plain HTTP */
  readonly tls?: ListenTls | undefined
  readonly trustedProxies: readonly string[]
  readonly issuers: IssuerOptions
}

const pemSizeMax = 256 * KiB

function tlsTrouble(message: string): Failure<RimCode> {
  return new Failure<RimCode>('serve/tls', message, {
    detail: { hint: '--tls-cert FILE with --tls-key FILE, or --tls-p12 FILE with --tls-password-file FILE' },
  })
}

/**
 * Key and chain of a PKCS #12 bundle. The password is the first line of its file, which only this user may read.
 *
 * throws  input/unreadable, input/size, file/..., pkcs12/...
 */
export async function readBundle(path: string, passwordPath: string): Promise<TlsIdentity> {
  const bytes = await readInput(path, 'PKCS #12 bundle', pemSizeMax)
  const secret = await readSecretFile(passwordPath)
  try {
    // Loaded for whoever has such a bundle, and for nobody else.
    const { readPkcs12 } = await import('#host/pkcs12.js')
    return readPkcs12(bytes, fromUtf8(secret).split(/\r?\n/, 1)[0]!)
  } finally {
    secret.fill(0)
  }
}

async function tlsOf(args: RimArguments): Promise<ListenTls | undefined> {
  const { tlsCert, tlsKey, tlsP12, tlsPasswordFile } = args
  if ((tlsCert === undefined) !== (tlsKey === undefined)) throw tlsTrouble('a certificate and its key go together')
  if ((tlsP12 === undefined) !== (tlsPasswordFile === undefined))
    throw tlsTrouble('a bundle and its password go together')
  if (tlsCert !== undefined && tlsP12 !== undefined) throw tlsTrouble('a certificate is named twice')
  if (tlsP12 !== undefined) return readBundle(tlsP12, tlsPasswordFile!)
  if (tlsCert === undefined) return undefined
  const cert = Buffer.from(await readInput(tlsCert, 'TLS certificate', pemSizeMax))
  return { cert, key: Buffer.from(await readSecretFile(tlsKey!)) }
}

/** @throws serve/tls, input/..., file/..., pkcs12/... */
export async function rimOf(args: RimArguments): Promise<RimSettings> {
  const ca =
    args.oidcCa === undefined ? undefined : fromUtf8(await readInput(args.oidcCa, 'roots of issuers', pemSizeMax))
  return {
    tls: await tlsOf(args),
    trustedProxies: args.trustedProxy ?? [],
    issuers: { ca, privateIssuers: args.oidcPrivate ?? [] },
  }
}

const repeated =
  (read: (text: string) => string) =>
  (text: string, before: readonly string[]): readonly string[] => [...before, read(text)]

function proxyAddress(text: string): string {
  try {
    clientAddress([text])
    return text
  } catch (error) {
    if (!isFailure(error)) throw error
    throw new InvalidArgumentError(`${error.message}: ${error.detail?.hint}.`)
  }
}

function hostAndPort(text: string): string {
  if (/^([a-z0-9.-]{1,253}|\[[0-9a-f:.]+\]):[1-9][0-9]{0,4}$/.test(text)) return text
  throw new InvalidArgumentError('Expected HOST:PORT, as id.internal:443.')
}

export function rimOptions(command: Command): Command {
  return command
    .option('--tls-cert <file>', 'speak TLS: the certificate and those above it, PEM')
    .option('--tls-key <file>', 'its private key, PEM, in a file of mode 0600')
    .option('--tls-p12 <file>', 'both in a PKCS #12 bundle')
    .option('--tls-password-file <file>', 'the password of the bundle, in a file of mode 0600')
    .option(
      '--trusted-proxy <address>',
      'a proxy of yours, 10.0.0.7 or 10.0.0.0/24: its X-Forwarded-For is believed; repeat for more',
      repeated(proxyAddress),
      [],
    )
    .option('--oidc-ca <file>', 'roots that vouch for issuers of tokens, PEM, in place of the usual ones')
    .option(
      '--oidc-private <host:port>',
      'an issuer inside your network that owners may name; repeat for more',
      repeated(hostAndPort),
      [],
    )
}
