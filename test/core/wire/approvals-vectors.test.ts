import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toBase64, utf8 } from '#core/bytes/bytes.js'
import { type Envelope, envelopeShape } from '#core/dsse.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { list, object } from '#core/encoding/shape.js'
import { isFailure } from '#core/failure.js'
import {
  type ApproverSet,
  approversMembers,
  type Proposed,
  ruleFor,
  verifyApproval,
  verifyApprovals,
  verifyApproverSet,
} from '#core/wire/approvals.js'
import { codeOf, codeOfPromise } from '#test/fakes/code-of.js'

const file = JSON.parse(readFileSync('test/vectors/approvals/cases.json', 'utf8')) as {
  at: number
  set: Json
  proposed: Proposed
  cases: { name: string; approvals: Json; expect: string }[]
  sets: { name: string; set: Json; expect: string }[]
}
const setShape = object(approversMembers)
const readSet = (value: Json): ApproverSet => setShape(parseJson(utf8(JSON.stringify(value))), 'set')
const set = readSet(file.set)
const rule = ruleFor(set, 'policy')!

describe('vectors of approvals', () => {
  test.each(file.cases)('$name: $expect', async ({ approvals, expect: wanted }) => {
    const given = list(envelopeShape)(approvals, 'approvals')
    expect(await codeOfPromise(verifyApprovals(given, file.proposed, set, rule, file.at))).toBe(wanted)
  })
  test.each(file.sets)('$name: $expect', ({ set: given, expect: wanted }) => {
    expect(codeOf(() => verifyApproverSet(readSet(given), file.at))).toBe(wanted)
  })
})

describe('approvals in any form', () => {
  const good = list(envelopeShape)(file.cases[0]!.approvals, 'approvals')[0] as Envelope

  test('no byte of a signed approval can differ', async () => {
    const payload = [...atob(good.payload)].map((one) => one.charCodeAt(0))
    await fc.assert(
      fc.asyncProperty(fc.nat(payload.length - 1), fc.integer({ min: 1, max: 255 }), async (i, flip) => {
        const changed = Uint8Array.from(payload)
        changed[i]! ^= flip
        const envelope = { ...good, payload: toBase64(changed) }
        expect(await codeOfPromise(verifyApproval(envelope, file.proposed, set, file.at))).toBe('crypto/signature')
      }),
      { numRuns: 50 },
    )
  })

  test('what is no approval fails, and with a failure', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        const envelope = { ...good, payload: toBase64(bytes) }
        const error = await verifyApproval(envelope, file.proposed, set, file.at).catch((thrown: unknown) => thrown)
        expect(isFailure(error)).toBe(true)
      }),
      { numRuns: 50 },
    )
  })
})
