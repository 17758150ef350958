import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { verifyQeIdentity, verifyTcbInfo } from '#attest/dcap/collateral.js'
import { readPck } from '#attest/dcap/pck.js'
import { cutQuote, parseQuote } from '#attest/dcap/quote.js'
import { intelRoot, intelRootCertificate } from '#attest/dcap/roots.js'
import { verifyEvidence } from '#attest/kinds.js'
import { parseCcel } from '#attest/tdx/ccel.js'
import { verifyEventLog } from '#attest/tdx/event-log.js'
import { parseTdReport } from '#attest/tdx/parse.js'
import { parseRuntimeLog } from '#attest/tdx/runtime-log.js'
import { concat, fromUtf8, toHex, utf8 } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { parsePem } from '#core/encoding/pem.js'
import { isFailure } from '#core/failure.js'
import { parseCertificate, verifyX509Signature } from '#core/x509/certificate.js'
import { codeOf } from '../../fakes/code-of.js'
import { dcapRootDigest, mintDcap, mintDcapEvidence } from '../../fakes/dcap.js'
import { testTime } from '../../fakes/platform.js'

const runs = { numRuns: 2000 }
const tdx = await mintDcap({ version: 5, body: 'tdx-1.5' })
const sgx = await mintDcap({ tee: 'sgx' })

/** Bytes of a good value with some of them changed, or cut, or with more behind them. */
const near = (good: Uint8Array) =>
  fc
    .record({
      changes: fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 4 }),
      size: fc.oneof(fc.constant(good.length), fc.nat(good.length)),
      more: fc.uint8Array({ maxLength: 8 }),
    })
    .map(({ changes, size, more }) => {
      const bytes = good.slice(0, size)
      for (const [at, value] of changes) if (at < size) bytes[at] = value
      return concat(bytes, more)
    })
const anyOr = (good: Uint8Array) => fc.oneof(fc.uint8Array({ maxLength: 2000 }), near(good))

describe('on any bytes only a Failure is thrown', () => {
  test.each([
    ['quote of a TD', tdx.quote],
    ['quote of an enclave', sgx.quote],
  ])('%s', (_, good) => {
    fc.assert(
      fc.property(anyOr(good), (bytes) => {
        codeOf(() => parseQuote(bytes))
        codeOf(() => cutQuote(bytes))
      }),
      runs,
    )
  })

  test('CCEL', () => {
    const spec = concat(
      utf8('Spec ID Event03\0'),
      new Uint8Array([0, 0, 0, 0, 0, 2, 0, 2, 1, 0, 0, 0, 12, 0, 48, 0, 0]),
    )
    const head = concat(
      new Uint8Array([1, 0, 0, 0, 3, 0, 0, 0]),
      new Uint8Array(20),
      new Uint8Array([33, 0, 0, 0]),
      spec,
    )
    const event = concat(new Uint8Array([1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 12, 0]), new Uint8Array(52))
    const good = concat(head, event, new Uint8Array(64).fill(0xff))
    expect(parseCcel(good)).toHaveLength(1)
    fc.assert(
      fc.property(anyOr(good), (bytes) => void codeOf(() => parseCcel(bytes))),
      runs,
    )
  })

  test('runtime log', () => {
    const good = utf8(JSON.stringify([{ imr: 3, event_type: 0x08000001, digest: '', event: 'a', event_payload: '00' }]))
    expect(parseRuntimeLog(good)).toHaveLength(1)
    fc.assert(
      fc.property(anyOr(good), (bytes) => void codeOf(() => parseRuntimeLog(bytes))),
      runs,
    )
  })

  test('PCK certificate', () => {
    const [pck] = parseQuote(tdx.quote).chain
    readPck(parseCertificate(pck))
    fc.assert(
      fc.property(near(pck), (bytes) => void codeOf(() => readPck(parseCertificate(bytes)))),
      runs,
    )
  })

  test('TCB info and QE identity', async () => {
    const signer = parseCertificate(tdx.signer)
    const only = async (work: Promise<unknown>) => {
      try {
        await work
      } catch (error) {
        if (!isFailure(error)) throw error
        expect(error.code).toMatch(/^dcap\/collateral-/)
      }
    }
    await fc.assert(
      fc.asyncProperty(anyOr(tdx.tcbInfo), anyOr(tdx.qeIdentity), async (info, identity) => {
        await only(verifyTcbInfo(info, 'tdx', signer, testTime))
        await only(verifyQeIdentity(identity, 'tdx', signer, testTime))
      }),
      { numRuns: 1000 },
    )
  })
})

test('flipping any bit that was signed is refused', async () => {
  const evidence = await mintDcapEvidence({ version: 5, body: 'tdx-1.5' })
  const { signed } = parseQuote(tdx.quote)
  const anchors = { simulatedRoots: [dcapRootDigest] }
  await verifyEvidence(evidence, anchors, testTime)
  await fc.assert(
    fc.asyncProperty(fc.nat(signed.length - 1), fc.nat(7), async (at, bit) => {
      const quote = Buffer.from(tdx.quote)
      quote[at]! ^= 1 << bit
      const changed = { ...evidence, quote: quote.toString('base64') }
      await expect(verifyEvidence(changed, anchors, testTime)).rejects.toMatchObject({ name: 'Failure' })
    }),
    { numRuns: 200 },
  )
})

test('what comes after a quote in its buffer is cut off, and refused where it is not', () => {
  const buffer = concat(tdx.quote, new Uint8Array(70))
  expect(cutQuote(buffer)).toEqual(tdx.quote)
  expect(codeOf(() => parseQuote(buffer))).toBe('dcap/length')
})

test('an empty log does not replay to registers that hold something', async () => {
  const report = parseTdReport(parseQuote((await mintDcap({ report: (body) => void body.fill(1, 328, 376) })).quote))
  expect(codeOf(() => verifyEventLog(utf8('[]'), report))).toBe('tdx/event-log-replay')
})

test('the root that is compiled in is that of the file, and signed itself', async () => {
  const pem = readFileSync(new URL('../../../attest/dcap/roots/intel-sgx-root-ca.pem', import.meta.url))
  const [der] = parsePem(fromUtf8(new Uint8Array(pem)), 'CERTIFICATE', 1)
  expect(toHex(sha256(parseCertificate(der!).spki))).toBe(intelRoot)
  expect(toHex(sha256(der!))).toBe(intelRootCertificate)
  const root = parseCertificate(der!)
  await verifyX509Signature(root.algorithm, root.spki, root.tbs, root.signature, 'root')
})
