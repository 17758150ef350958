import { generateKeyPairSync } from 'node:crypto'
import { concat, utf8 } from '#core/bytes/bytes.js'
import type { UnixSeconds } from '#core/time.js'
import {
  basicConstraints,
  keyUsage,
  type MintExtension,
  type MintKey,
} from '#runtime/attester/simulated/certificate.js'
import { der, oid, sequence } from '#runtime/attester/simulated/der.js'
import { digitalSignature, ecCertificate } from '#test/fakes/ec-certificates.js'

/** A key of its own with what vouches for it, DER and PEM. */
export interface Certified {
  readonly key: MintKey
  readonly der: Uint8Array
  readonly name: string
  readonly certPem: string
  readonly keyPem: string
}

export function pem(label: string, bytes: Uint8Array): string {
  const lines = Buffer.from(bytes)
    .toString('base64')
    .match(/.{1,64}/g)!
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}

export function keyPair(): MintKey {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    pkcs8: new Uint8Array(privateKey.export({ format: 'der', type: 'pkcs8' })),
    spki: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })),
  }
}

export const purposes = { server: '1.3.6.1.5.5.7.3.1', client: '1.3.6.1.5.5.7.3.2' } as const

export interface CertifiedOptions {
  /** who issues it; itself when absent */
  readonly by?: Certified
  readonly isCa?: boolean
  readonly purposes?: readonly string[]
  /** context tag and text of each name: 0x82 dns, 0x86 uri, 0x81 email, 0x87 an address */
  readonly names?: readonly (readonly [number, string | Uint8Array])[]
  readonly notBefore: UnixSeconds
  readonly notAfter: UnixSeconds
}

let serial = 1

export async function certified(name: string, options: CertifiedOptions): Promise<Certified> {
  const key = keyPair()
  const { by, names = [], notBefore, notAfter } = options
  const usage: readonly MintExtension[] =
    options.purposes === undefined
      ? []
      : [{ oid: '2.5.29.37', critical: false, value: sequence(...options.purposes.map((one) => oid(one))) }]
  const named: readonly MintExtension[] =
    names.length === 0
      ? []
      : [
          {
            oid: '2.5.29.17',
            critical: false,
            value: sequence(
              concat(...names.map(([tag, value]) => der(tag, typeof value === 'string' ? utf8(value) : value))),
            ),
          },
        ]
  const extensions = options.isCa ? [basicConstraints(), keyUsage(false)] : [digitalSignature, ...usage, ...named]
  const fields = { serial: serial++, issuer: by?.name ?? name, subject: name, notBefore, notAfter }
  const bytes = await ecCertificate('ES256', { ...fields, spki: key.spki, extensions }, by?.key ?? key)
  return { key, der: bytes, name, certPem: pem('CERTIFICATE', bytes), keyPem: pem('PRIVATE KEY', key.pkcs8) }
}

/** A certificate for 127.0.0.1 and localhost. */
export function serverCertificate(by: Certified, at: UnixSeconds): Promise<Certified> {
  return certified('localhost', {
    by,
    purposes: [purposes.server],
    names: [
      [0x82, 'localhost'],
      [0x87, new Uint8Array([127, 0, 0, 1])],
    ],
    notBefore: at - 3600,
    notAfter: at + 86_400,
  })
}
