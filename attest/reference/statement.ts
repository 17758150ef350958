import type { ReferenceCode } from '#attest/reference/provenance.js'
import { toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { type Json, parseJson } from '#core/encoding/json.js'
import { literal, object, type Shape, string } from '#core/encoding/shape.js'
import { Failure, isFailure } from '#core/failure.js'
import type { UnixSeconds } from '#core/time.js'

export const statementPayloadType = 'application/vnd.in-toto+json'
const subjectsMax = 10_000

/** What SLSA provenance says of a file. */
export interface Built {
  readonly builder: string
  readonly finishedAt: UnixSeconds | null
}

/** An object of which these members are read: in-toto has its readers pass over others. */
function reading<const M extends { readonly [name: string]: Shape<unknown> }>(members: M) {
  const strict = object(members)
  return (value: Json | undefined, path: string) => {
    if (value === null || typeof value !== 'object' || Array.isArray(value)) return strict(value, path)
    return strict(Object.fromEntries(Object.entries(value).filter(([name]) => Object.hasOwn(members, name))), path)
  }
}
const anything: Shape<Json | undefined> = (value) => value

const statementShape = reading({
  _type: literal('https://in-toto.io/Statement/v1'),
  // A statement of another meaning, on a failed test for one, names the same file: only this one says what built it.
  predicateType: literal('https://slsa.dev/provenance/v1'),
  subject: anything,
  predicate: reading({ runDetails: reading({ builder: reading({ id: string({ max: 500 }) }), metadata: anything }) }),
})

/**
 * What a provenance statement says of the file with these bytes.
 *
 * trusts  that the statement's signature was verified by the caller
 * throws  reference/form, reference/subject
 * source  in-toto Attestation Framework v1, "Statement"; SLSA v1.0, "Provenance"
 */
export function readProvenance(payload: Uint8Array, file: Uint8Array): Built {
  const statement = readStatement(payload)
  const digest = toHex(sha256(file))
  if (!subjectDigests(statement.subject).includes(digest))
    throw new Failure<ReferenceCode>('reference/subject', `the statement names no file of SHA-256 ${digest}`)
  const { builder, metadata } = statement.predicate.runDetails
  return { builder: builder.id, finishedAt: finishedAt(metadata) }
}

function readStatement(payload: Uint8Array) {
  try {
    return statementShape(parseJson(payload), 'statement')
  } catch (cause) {
    if (!isFailure(cause)) throw cause
    throw new Failure<ReferenceCode>('reference/form', `no provenance statement: ${cause.message}`, { cause })
  }
}

function subjectDigests(subject: Json | undefined): readonly string[] {
  if (!Array.isArray(subject) || subject.length > subjectsMax)
    throw new Failure<ReferenceCode>('reference/form', `subject is no list of at most ${subjectsMax}`)
  return subject.flatMap((one: Json) => {
    const digest = memberOf(memberOf(one, 'digest'), 'sha256')
    return typeof digest === 'string' ? [digest] : []
  })
}

function memberOf(value: Json | undefined, name: string): Json | undefined {
  if (value === null || typeof value !== 'object' || Array.isArray(value) || !Object.hasOwn(value, name))
    return undefined
  return (value as { readonly [name: string]: Json })[name]
}

/** RFC 3339 in UTC; a time of another spelling is not shown. */
function finishedAt(metadata: Json | undefined): UnixSeconds | null {
  const text = memberOf(metadata, 'finishedOn')
  if (typeof text !== 'string' || !/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?Z$/.test(text)) return null
  const at = Math.floor(Date.parse(text) / 1000)
  return Number.isNaN(at) ? null : at
}
