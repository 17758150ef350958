import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, type JWTPayload, SignJWT } from 'jose'
import type { UnixSeconds } from '#core/time.js'
import { type Certified, certified, serverCertificate } from '#test/fakes/machine-certificates.js'

interface Signer {
  readonly kid: string
  readonly alg: string
  readonly privateKey: CryptoKey
  readonly jwk: JWK
}

/** A server that speaks OpenID Connect discovery over TLS, under an authority of its own, and signs tokens. */
export interface Issuer {
  readonly url: string
  /** `host:port`, as operators name an issuer of their own network */
  readonly place: string
  readonly ca: string
  readonly requests: string[]
  /** what it answers in place of its documents; null for none */
  trouble: ((path: string, response: ServerResponse) => boolean) | null
  /** keys that it shows; the last signs */
  readonly keys: Signer[]
  addKey(kid: string, alg?: string): Promise<Signer>
  token(claims: JWTPayload, options?: { readonly typ?: string; readonly signer?: Signer }): Promise<string>
  close(): Promise<void>
}

export async function makeSigner(kid: string, alg = 'ES256'): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  return { kid, alg, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' } }
}

export async function startIssuer(at: UnixSeconds): Promise<Issuer> {
  const root: Certified = await certified('issuer root', { isCa: true, notBefore: at - 3600, notAfter: at + 86_400 })
  const server = await serverCertificate(root, at)
  const requests: string[] = []
  const keys: Signer[] = []
  const listening = createServer({ cert: server.certPem, key: server.keyPem }, (request, response) => {
    const path = request.url ?? ''
    requests.push(path)
    if (issuer.trouble?.(path, response)) return
    const body =
      path === '/.well-known/openid-configuration'
        ? { issuer: issuer.url, jwks_uri: `${issuer.url}/keys` }
        : path === '/keys'
          ? { keys: keys.map(({ jwk }) => jwk) }
          : null
    response.writeHead(body === null ? 404 : 200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  })
  listening.listen(0, '127.0.0.1')
  await once(listening, 'listening')
  const place = `localhost:${(listening.address() as AddressInfo).port}`
  const issuer: Issuer = {
    url: `https://${place}`,
    place,
    ca: root.certPem,
    requests,
    trouble: null,
    keys,
    async addKey(kid, alg) {
      const made = await makeSigner(kid, alg)
      keys.push(made)
      return made
    },
    token(claims, { typ = 'JWT', signer = keys.at(-1)! } = {}) {
      return new SignJWT(claims).setProtectedHeader({ alg: signer.alg, kid: signer.kid, typ }).sign(signer.privateKey)
    },
    async close() {
      listening.closeAllConnections()
      listening.close()
      await once(listening, 'close')
    },
  }
  await issuer.addKey('first')
  return issuer
}
