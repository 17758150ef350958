import { once } from 'node:events'
import { Agent, type RequestOptions, request } from 'node:https'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { clientCertificates, createApp } from '#host/http.js'
import { type Listening, listen } from '#host/listen.js'
import { createLog } from '#host/log.js'
import { codeOfPromise } from '#test/fakes/code-of.js'
import { type Certified, certified, purposes, serverCertificate } from '#test/fakes/machine-certificates.js'

const now = Math.floor(Date.now() / 1000)
const dates = { notBefore: now - 60, notAfter: now + 3600 }
const digest = (der: Uint8Array) => toHex(sha256(der))
let root: Certified
let between: Certified
let client: Certified
let listening: Listening
let slow: () => void = () => undefined
let began: () => void = () => undefined

function application() {
  const app = createApp({ log: createLog('test', 'silent'), statuses: {}, limits: { ratePerMinute: 0 } })
  app.hono.get('/who', (c) => c.json(clientCertificates(c).map(digest)))
  app.hono.get('/slow', async (c) => {
    const end = new Promise<void>((resolve) => (slow = resolve))
    began()
    await end
    return c.json('done')
  })
  return app
}

beforeAll(async () => {
  root = await certified('root', { isCa: true, ...dates })
  between = await certified('between', { isCa: true, by: root, ...dates })
  client = await certified('client', { by: between, purposes: [purposes.client], ...dates })
  const server = await serverCertificate(root, now)
  const tls = { key: Buffer.from(server.keyPem), cert: Buffer.from(server.certPem) }
  listening = await listen(application(), { host: '127.0.0.1', port: 0, tls, connectionsMax: 4 })
})
afterAll(() => listening.close())

/** Status and body of a request of its own connection. */
function get(path: string, more: RequestOptions = {}): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const asked = request(`${listening.url}${path}`, { agent: false, ca: root.certPem, ...more }, (answer) => {
      const parts: Buffer[] = []
      answer.on('data', (part: Buffer) => parts.push(part))
      answer.once('end', () => resolve(JSON.parse(Buffer.concat(parts).toString())))
    })
    asked.once('error', reject)
    asked.end()
  })
}
const shown = () => ({ cert: client.certPem + between.certPem, key: client.keyPem })

describe('a listener with a certificate', () => {
  test('speaks TLS, to clients with a certificate and to those without', async () => {
    expect(listening.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
    expect(await get('/who')).toEqual([])
    expect(await get('/who', shown())).toEqual([digest(client.der), digest(between.der)])
    await expect(get('/who', { maxVersion: 'TLSv1.2' })).rejects.toThrow()
    await expect(get('/who', { ca: between.certPem })).rejects.toThrow()
  })

  test('takes a certificate from nobody who does not hold its key', async () => {
    await expect(get('/who', { cert: client.certPem, key: between.keyPem })).rejects.toThrow()
    // What a proxy would say of a certificate is a header like any other.
    const headers = { 'x-forwarded-client-cert': 'Cert=x', 'ssl-client-cert': client.certPem.replaceAll('\n', '') }
    expect(await get('/who', { headers })).toEqual([])
  })

  test('brings no certificate back with a session of before', async () => {
    const agent = new Agent({ keepAlive: false, maxCachedSessions: 10 })
    for (let i = 0; i < 3; i++)
      expect(await get('/who', { agent, ...shown() })).toEqual([digest(client.der), digest(between.der)])
    let session: Buffer | undefined
    for (let i = 0; i < 2; i++) {
      const options = { port: listening.port, host: '127.0.0.1', ca: root.certPem, ...shown() }
      const socket = connectTls({ ...options, ...(session && { session }) })
      socket.on('session', (one: Buffer) => (session = one))
      await once(socket, 'secureConnect')
      expect(socket.isSessionReused()).toBe(false)
      socket.write('GET /who HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
      const answer: string[] = []
      socket.on('data', (part: Buffer) => answer.push(part.toString()))
      await once(socket, 'close')
      expect(answer.join('')).toContain(digest(between.der))
    }
  })

  test('makes room for new connections, and not with one whose request is under way', async () => {
    const begun = new Promise<void>((resolve) => (began = resolve))
    const answer = get('/slow')
    await begun
    const idle = []
    for (let i = 0; i < 12; i++) {
      const socket = connect(listening.port, '127.0.0.1')
      socket.on('error', () => undefined)
      idle.push(socket)
      await once(socket, 'connect')
    }
    expect(await get('/who')).toEqual([])
    slow()
    expect(await answer).toBe('done')
    for (const socket of idle) socket.destroy()
  })

  test('does not start with a key that is not the certificate’s', async () => {
    const tls = { key: Buffer.from(client.keyPem), cert: Buffer.from(root.certPem) }
    expect(await codeOfPromise(listen(application(), { host: '127.0.0.1', port: 0, tls }))).toBe('listen/tls')
    const none = { key: Buffer.from('x'), cert: Buffer.from(root.certPem) }
    expect(await codeOfPromise(listen(application(), { host: '127.0.0.1', port: 0, tls: none }))).toBe('listen/tls')
  })
})
