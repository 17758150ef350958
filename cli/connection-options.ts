import type { Command } from 'commander'
import { readInput } from '#cli/input.js'
import { readBundle } from '#cli/rim-options.js'
import { fromUtf8 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { KiB } from '#core/limits.js'
import { httpsFetch } from '#host/https-fetch.js'

/** Failures of what a command speaks to a broker with. */
export type ConnectionCode =
  /** a bundle without its password, or a password without a bundle */
  | 'connection/bundle'
  /** a credential would be readable on its way */
  | 'connection/plain'

/** What a command speaks to a broker with, as it was typed. */
export interface ConnectionArguments {
  readonly clientP12?: string | undefined
  readonly passwordFile?: string | undefined
  readonly brokerCa?: string | undefined
}

/**
 * How the broker is called: with a client certificate, and with roots of one's own, where they are named.
 *
 * throws  connection/bundle, input/..., file/..., pkcs12/...
 */
export async function fetchFor(args: ConnectionArguments): Promise<typeof fetch> {
  const { clientP12, passwordFile, brokerCa } = args
  if ((clientP12 === undefined) !== (passwordFile === undefined))
    throw new Failure<ConnectionCode>('connection/bundle', 'a bundle and its password go together', {
      detail: { hint: '--client-p12 FILE --password-file FILE' },
    })
  if (clientP12 === undefined && brokerCa === undefined) return fetch
  const ca = brokerCa === undefined ? undefined : fromUtf8(await readInput(brokerCa, 'roots of the broker', 256 * KiB))
  const own = clientP12 === undefined ? {} : await readBundle(clientP12, passwordFile!)
  return httpsFetch({ ca, ...own })
}

/** Returns only when what is sent to the address is not readable on its way: https, or this machine. @throws connection/plain */
export function verifyConfidential(broker: string): void {
  const { protocol, hostname } = new URL(broker)
  if (protocol === 'https:' || /^(localhost|127\.[0-9.]+|\[::1\])$/.test(hostname)) return
  throw new Failure<ConnectionCode>('connection/plain', 'a credential is not sent over plain HTTP to another machine', {
    detail: { hint: 'name the broker’s https address' },
  })
}

export function connectionOptions(command: Command): Command {
  return command
    .option('--client-p12 <file>', 'show the certificate in this PKCS #12 bundle')
    .option('--password-file <file>', 'its password, in a file of mode 0600')
    .option('--broker-ca <file>', 'roots that vouch for the broker’s TLS, PEM, in place of the usual ones')
}
