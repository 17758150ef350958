import { createCipheriv, createDecipheriv, generateKeyPairSync, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer as createPlain, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { derTag } from '#core/encoding/der.js'
import type { VaultSetting } from '#keybroker/kek/setting.js'
import { basicConstraints, type MintExtension } from '#runtime/attester/simulated/certificate.js'
import { der, sequence } from '#runtime/attester/simulated/der.js'
import { digitalSignature, ecCertificate } from '#test/fakes/ec-certificates.js'

interface TransitKey {
  config: Record<string, unknown>
  /** by version, from 1 */
  versions: Buffer[]
  minDecryption: number
}

/** What the server does in place of its work. */
export type Trouble = (request: IncomingMessage, response: ServerResponse, body: Buffer) => boolean

/**
 * A server that speaks the API of Vault's transit engine over TLS: real AES-GCM with associated data, versions, rotation,
 * tokens and namespaces, under the certificate of an authority of its own.
 */
export interface Vault {
  readonly url: string
  readonly caFile: string
  readonly tokenFile: string
  readonly folder: string
  readonly keys: Map<string, TransitKey>
  /** tokens that are good, with their seconds; 0 for ever */
  readonly tokens: Map<string, { ttl: number; renewable: boolean }>
  readonly requests: { method: string; path: string; namespace: string | undefined; body: Buffer }[]
  /** asked first for every request; null for none */
  trouble: Trouble | null
  /** a server from before associated data took them and bound nothing */
  bindsAad: boolean
  setting(key?: string): VaultSetting
  addKey(name: string, config?: Record<string, unknown>): void
  rotate(name: string): void
  close(): Promise<void>
}

function pem(label: string, bytes: Uint8Array): string {
  const text = Buffer.from(bytes)
    .toString('base64')
    .match(/.{1,64}/g)!
  return `-----BEGIN ${label}-----\n${text.join('\n')}\n-----END ${label}-----\n`
}

function keyPair() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    pkcs8: new Uint8Array(privateKey.export({ format: 'der', type: 'pkcs8' })),
    spki: new Uint8Array(publicKey.export({ format: 'der', type: 'spki' })),
  }
}

/** A name of a certificate for an address of IPv4. */
const addressName = (bytes: readonly number[]): MintExtension => ({
  oid: '2.5.29.17',
  critical: false,
  value: sequence(der(0x87, Uint8Array.from(bytes))),
})
const certSign: MintExtension = {
  oid: '2.5.29.15',
  critical: true,
  value: der(derTag.bitString, new Uint8Array([1, 6])),
}

/** An authority, and a certificate of its for 127.0.0.1. */
export async function mintTls(address: readonly number[] = [127, 0, 0, 1]) {
  const [authority, server] = [keyPair(), keyPair()]
  const now = Math.floor(Date.now() / 1000)
  const dates = { notBefore: now - 3600, notAfter: now + 86_400 }
  const ca = await ecCertificate(
    'ES256',
    {
      serial: 1,
      issuer: 'vault-ca',
      subject: 'vault-ca',
      ...dates,
      spki: authority.spki,
      extensions: [basicConstraints(), certSign],
    },
    authority,
  )
  const own = await ecCertificate(
    'ES256',
    {
      serial: 2,
      issuer: 'vault-ca',
      subject: 'vault',
      ...dates,
      spki: server.spki,
      extensions: [digitalSignature, addressName(address)],
    },
    authority,
  )
  return { ca: pem('CERTIFICATE', ca), cert: pem('CERTIFICATE', own), key: pem('PRIVATE KEY', server.pkcs8) }
}

function seal(key: TransitKey, plaintext: Buffer, aad: Buffer): string {
  const version = key.versions.length
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key.versions[version - 1]!, iv)
  cipher.setAAD(aad)
  const body = Buffer.concat([iv, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
  return `vault:v${version}:${body.toString('base64')}`
}

type Answer = readonly [status: number, body: unknown]
const errors = (status: number, ...texts: readonly string[]): Answer => [status, { errors: texts }]
const data = (value: unknown): Answer => [
  200,
  { request_id: 'r', lease_id: '', renewable: false, data: value, auth: null },
]

function unseal(key: TransitKey, ciphertext: string, aad: Buffer): Answer {
  const found = /^vault:v([0-9]+):(.*)$/.exec(ciphertext)
  if (!found) return errors(400, 'invalid ciphertext: no prefix')
  const version = Number(found[1])
  if (version > key.versions.length) return errors(400, 'invalid ciphertext: version is too new')
  if (version < key.minDecryption)
    return errors(400, 'ciphertext or signature version is disallowed by policy (too old)')
  const bytes = Buffer.from(found[2]!, 'base64')
  const decipher = createDecipheriv('aes-256-gcm', key.versions[version - 1]!, bytes.subarray(0, 12))
  decipher.setAAD(aad)
  decipher.setAuthTag(bytes.subarray(-16))
  try {
    const plaintext = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()])
    return data({ plaintext: plaintext.toString('base64') })
  } catch {
    return errors(400, 'cipher: message authentication failed')
  }
}

function newKey(config: Record<string, unknown> = {}): TransitKey {
  const fixed = { type: 'aes256-gcm96', exportable: false, allow_plaintext_backup: false, derived: false }
  return { config: { ...fixed, ...config }, versions: [randomBytes(32)], minDecryption: 1 }
}

function transit(vault: Vault, method: string, operation: string, name: string, body: Record<string, unknown>): Answer {
  const key = vault.keys.get(name)
  if (operation === 'keys' && method === 'POST') {
    if (!key) vault.keys.set(name, newKey(body))
    return [204, null]
  }
  if (!key) return operation === 'keys' ? errors(404) : errors(400, 'encryption key not found')
  const aad = vault.bindsAad ? Buffer.from(String(body.associated_data ?? ''), 'base64') : Buffer.alloc(0)
  switch (operation) {
    case 'keys':
      return data({
        ...key.config,
        name,
        latest_version: key.versions.length,
        min_decryption_version: key.minDecryption,
        keys: Object.fromEntries(key.versions.map((_, i) => [String(i + 1), 1_780_000_000 + i])),
      })
    case 'encrypt':
      return data({
        ciphertext: seal(key, Buffer.from(String(body.plaintext), 'base64'), aad),
        key_version: key.versions.length,
      })
    case 'decrypt':
      return unseal(key, String(body.ciphertext), aad)
    default:
      return errors(404)
  }
}

function answerTo(vault: Vault, request: IncomingMessage, text: Buffer): Answer {
  const path = request.url ?? ''
  const token = vault.tokens.get(String(request.headers['x-vault-token']))
  if (token === undefined) return errors(403, 'permission denied')
  if (path === '/v1/auth/token/lookup-self') return data(token)
  if (path === '/v1/auth/token/renew-self')
    return token.renewable
      ? [200, { data: null, auth: { lease_duration: token.ttl, renewable: true } }]
      : errors(400, 'lease is not renewable')
  const found = /^\/v1\/transit\/(keys|encrypt|decrypt)\/([^/]+)$/.exec(path)
  if (!found) return errors(404)
  const body = text.length === 0 ? {} : (JSON.parse(text.toString('utf8')) as Record<string, unknown>)
  return transit(vault, request.method ?? '', found[1]!, found[2]!, body)
}

export const token = 'hvs.claviger-test-token'

export async function startVault(options: { readonly plain?: boolean } = {}): Promise<Vault> {
  const folder = mkdtempSync(join(tmpdir(), 'claviger-vault-'))
  const tls = await mintTls()
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => void parts.push(part))
    request.on('end', () => {
      const body = Buffer.concat(parts)
      const namespace = request.headers['x-vault-namespace'] as string | undefined
      vault.requests.push({ method: request.method ?? '', path: request.url ?? '', namespace, body })
      if (vault.trouble?.(request, response, body)) return
      const [status, value] = answerTo(vault, request, body)
      response.writeHead(status, { 'content-type': 'application/json' })
      response.end(value === null ? undefined : JSON.stringify(value))
    })
  }
  const server = options.plain ? createPlain(listener) : createServer({ cert: tls.cert, key: tls.key }, listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `${options.plain ? 'http' : 'https'}://127.0.0.1:${(server.address() as AddressInfo).port}`
  const [caFile, tokenFile] = [join(folder, 'ca.pem'), join(folder, 'token')]
  writeFileSync(caFile, tls.ca)
  writeFileSync(tokenFile, `${token}\n`, { mode: 0o600 })
  const vault: Vault = {
    url,
    caFile,
    tokenFile,
    folder,
    keys: new Map(),
    tokens: new Map([[token, { ttl: 0, renewable: false }]]),
    requests: [],
    trouble: null,
    bindsAad: true,
    setting: (key = 'claviger') => ({
      provider: 'vault',
      address: url,
      mount: 'transit',
      key,
      namespace: null,
      tokenFile,
      caFile: options.plain ? null : caFile,
    }),
    addKey: (name, config) => void vault.keys.set(name, newKey(config)),
    rotate: (name) => void vault.keys.get(name)!.versions.push(randomBytes(32)),
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
      rmSync(folder, { recursive: true, force: true })
    },
  }
  return vault
}
