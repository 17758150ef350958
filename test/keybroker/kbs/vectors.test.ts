import { createPrivateKey } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { toBase64, toHex, utf8 } from '#core/bytes/bytes.js'
import { isFailure } from '#core/failure.js'
import { initDataField, kbsReportData } from '#keybroker/kbs/binding.js'
import { parseAttestation, parseRequest } from '#keybroker/kbs/messages.js'
import { parseResourcePath } from '#keybroker/kbs/resource.js'
import { parseSnpEvidence, verifyNoDevices } from '#keybroker/kbs/snp-evidence.js'
import { parseTeeKey } from '#keybroker/kbs/tee-key.js'
import { type ClientKeyKind, openJwe } from '#test/fakes/kbs-client.js'
import cases from '../../vectors/kbs/cases.json' with { type: 'json' }

/** `ok` or the code of the failure. */
function outcome(work: () => void): string {
  try {
    work()
    return 'ok'
  } catch (error) {
    if (!isFailure(error)) throw error
    return error.code
  }
}

describe('vectors of docs/spec/kbs.md', () => {
  test.each(cases.requests)('request: $name', ({ text, expect: expected }) => {
    expect(outcome(() => parseRequest(utf8(text)))).toBe(expected)
  })

  test.each(cases.teeKeys)('TEE key: $name', ({ key, expect: expected }) => {
    expect(outcome(() => parseTeeKey(key))).toBe(expected)
  })

  test.each(cases.binding)('binding with additional evidence $additionalEvidence', (one) => {
    const data = { nonce: one.nonce, teeKey: parseTeeKey(one.teeKey), additionalEvidence: one.additionalEvidence }
    expect(toHex(kbsReportData(data))).toBe(one.reportData)
  })

  test.each(cases.initData)('init-data: $name', ({ text, expect: expected, hostData }) => {
    expect(outcome(() => initDataField('snp', text))).toBe(expected)
    if (hostData !== undefined) expect(toHex(initDataField('snp', text))).toBe(hostData)
  })

  test.each(cases.attestations)('attestation: $name', ({ text, report, expect: expected }) => {
    const rebuilt = () => parseSnpEvidence(parseAttestation(utf8(text)).primaryEvidence).report
    expect(outcome(rebuilt)).toBe(expected)
    if (report !== undefined) expect(toBase64(rebuilt())).toBe(report)
  })

  test.each(cases.additionalEvidence)('additional evidence $text', ({ text, expect: expected }) => {
    expect(outcome(() => verifyNoDevices(text))).toBe(expected)
  })

  test.each(cases.paths)('path $text', ({ text, expect: expected }) => {
    expect(outcome(() => parseResourcePath(text))).toBe(expected)
  })

  test.each(cases.jwe)('JWE: $name', ({ name, privateKey, resource, jwe }) => {
    const key = createPrivateKey({ key: privateKey as never, format: 'jwk' })
    const opened = openJwe({ kind: name as ClientKeyKind, privateKey: key, jwk: {} }, JSON.stringify(jwe))
    expect(opened.toString()).toBe(resource)
  })
})
