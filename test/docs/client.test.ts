import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { APIConnectionError } from 'openai'
import { describe, expect, test } from 'vitest'
import { speechPath } from '#cli/demo.js'
import { judged } from '#client/steps.js'
import { bundleSteps, verifyBundle } from '#client/verify-bundle.js'
import { fromBase64, utf8 } from '#core/bytes/bytes.js'
import { generateSigningKey } from '#core/crypto/sign.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { clientPolicyShape } from '#core/wire/client-policy.js'
import { signTrust, trustFileShape, verifyTrustFile } from '#core/wire/trust-file.js'
import { newBroker, trustIn } from '#test/client/fixtures.js'
import { codeOf } from '#test/fakes/code-of.js'
import { mintEvidence } from '#test/fakes/snp.js'
import { judge } from './attest-example.js'
import { transcribe } from './sdk-example.js'

const page = (name: string) => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')
const examples = (name: string): Json[] =>
  [...page(`spec/${name}.md`).matchAll(/^```json\n([\s\S]*?)^```/gm)].map((found) => parseJson(utf8(found[1]!)))

const [signed, payload] = examples('trust-file') as [Json, Json]
const [bundle] = examples('bundle') as [Json]

describe('the examples of the pages are what they say', () => {
  test('a trust file, and its payload', async () => {
    const file = trustFileShape(signed, 'trust file')
    expect(parseJson(fromBase64(file.trust.payload))).toEqual(payload)
    const { issuedAt, expiresAt } = payload as { issuedAt: number; expiresAt: number }
    expect((await verifyTrustFile(file, null, issuedAt)).trust).toEqual(payload)
    await expect(verifyTrustFile(file, null, expiresAt + 1)).rejects.toMatchObject({ code: 'trust-file/expired' })
  })

  test('a bundle that verifies under that trust file', async () => {
    const file = trustFileShape(signed, 'trust file')
    const { trust } = await verifyTrustFile(file, null, (payload as { issuedAt: number }).issuedAt)
    const verdict = await judged(bundleSteps, (steps) => verifyBundle(bundle, trust, steps))
    if (!verdict.ok) throw verdict.failure
    expect(verdict.value.entry.kind).toBe('denial')
  })

  test('a client policy', () => {
    const [policy] = examples('client-policy') as [Json]
    expect(codeOf(() => clientPolicyShape(policy, 'policy'))).toBe('ok')
  })

  test('the steps of a bundle, in their order', () => {
    const named = [...page('spec/bundle.md').matchAll(/^\d\. `(bundle\/[a-z]+)`/gm)].map((found) => found[1])
    expect(named).toEqual(bundleSteps.map(([id]) => id))
  })

  test('the program of docs/attest.md is the one that is compiled with the tests, and runs', async () => {
    const [, code] = /^```ts\n([\s\S]*?)^```/m.exec(page('attest.md'))!
    expect(readFileSync(new URL('./attest-example.ts', import.meta.url), 'utf8')).toBe(code)
    const folder = mkdtempSync(join(tmpdir(), 'claviger-docs-'))
    const evidence = await mintEvidence()
    const write = (name: 'report' | 'vek' | 'ask' | 'ark') => {
      writeFileSync(join(folder, name), fromBase64(evidence[name]))
      return join(folder, name)
    }
    // Minted evidence is NOT HARDWARE: the example accepts none of it.
    expect(await judge(write('report'), [write('vek'), write('ask'), write('ark')], new Uint8Array(64))).toBe(false)
    rmSync(folder, { recursive: true, force: true })
  })

  test('the program of docs/sdk.md is the one that is compiled with the tests', () => {
    const [, code] = /^```ts\n([\s\S]*?)^```/m.exec(page('sdk.md'))!
    expect(readFileSync(new URL('./sdk-example.ts', import.meta.url), 'utf8')).toBe(code)
  })

  test('and it refuses as the page says: the failure is the cause of what the OpenAI client throws', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'claviger-sdk-'))
    try {
      const { key } = await generateSigningKey('ES256')
      const trust = { ...trustIn(await newBroker()), expiresAt: 4_000_000_000 }
      const path = join(folder, 'trust.json')
      writeFileSync(path, JSON.stringify(await signTrust(trust, key)))
      const refused = await transcribe('http://127.0.0.1:9', path, speechPath()).catch((error: unknown) => error)
      expect(refused).toBeInstanceOf(APIConnectionError)
      expect((refused as APIConnectionError).cause).toMatchObject({ code: 'client/unreachable' })
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
