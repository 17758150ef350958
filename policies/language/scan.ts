import { utf8 } from '#core/bytes/bytes.js'
import { Failure } from '#core/failure.js'
import { policyCountMax, policyDepthMax, policyOperatorsMax, policySizeMax } from '#core/limits.js'
import type { PolicyCode } from '#policies/language/failures.js'

/** One policy's place in the text: UTF-16 offsets, the semicolon included. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** Line and column, both from 1, of a UTF-16 offset. */
export function positionAt(text: string, offset: number): { readonly line: number; readonly column: number } {
  const before = text.slice(0, offset).split('\n')
  return { line: before.length, column: before.at(-1)!.length + 1 }
}

/** The UTF-16 offset of a UTF-8 offset: Cedar counts bytes. */
export function offsetOfByte(text: string, byte: number): number {
  let at = 0
  for (let bytes = 0; bytes < byte && at < text.length; ) {
    const point = text.codePointAt(at)!
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x1_0000 ? 3 : 4
    at += point < 0x1_0000 ? 1 : 2
  }
  return at
}

/** A failure that says where in the text it is. */
export function policyFailure(
  code: PolicyCode,
  text: string,
  offset: number,
  message: string,
  hint?: string | null,
): Failure<PolicyCode> {
  const { line, column } = positionAt(text, offset)
  return new Failure<PolicyCode>(code, `line ${line}, column ${column}: ${message}`, {
    detail: { line, column, ...(hint ? { hint: hint } : {}) },
  })
}

// Strings, comments, the operators that nest in the tree, brackets and the semicolon; one alternative each.
const token =
  /"(?:[^"\\]|\\[\s\S])*"|\/\/[^\n\r]*|&&|\|\||[=!<>]=|[<>!+\-*.@?]|[([{]|[)\]}]|;|[A-Za-z_][A-Za-z0-9_]*|[\s,:]+|\d+|[\s\S]/gy
const words = new Set(['in', 'has', 'like', 'is', 'if', 'when', 'unless'])
// Text that shows otherwise than it reads: bidirectional controls, invisible and control characters.
const deceptive = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/u

/**
 * The policies of a text that is small enough for Cedar's parser to read.
 *
 * Cedar's recursive parser runs out of stack at about 150 nested brackets or a few thousand chained operators, and the
 * module is then unusable for the rest of the process: one hostile owner would stop every owner's releases. So depth
 * and operators are counted here, before Cedar sees the text.
 *
 * throws  policy/limit, policy/syntax
 */
export function scanPolicies(text: string): readonly Span[] {
  if (text.length > policySizeMax || utf8(text).length > policySizeMax) {
    throw new Failure<PolicyCode>('policy/limit', `policy text is longer than ${policySizeMax} bytes`)
  }
  const odd = deceptive.exec(text)
  if (odd) throw policyFailure('policy/syntax', text, odd.index, 'a character that does not show as it reads')
  if (/\p{Surrogate}/u.test(text)) throw new Failure<PolicyCode>('policy/syntax', 'text holds half a surrogate pair')
  const spans: Span[] = []
  let start = -1
  let depth = 0
  let operators = 0
  token.lastIndex = 0
  for (let found = token.exec(text); found; found = token.exec(text)) {
    const [piece] = found
    const blank = piece.startsWith('//') || /^\s+$/.test(piece)
    if (start < 0 && !blank) start = found.index
    if (piece === ';') {
      spans.push({ start, end: found.index + 1 })
      if (spans.length > policyCountMax)
        throw policyFailure('policy/limit', text, found.index, `more than ${policyCountMax} policies`)
      start = -1
      depth = 0
      operators = 0
    } else if ('([{'.includes(piece)) {
      if (++depth > policyDepthMax)
        throw policyFailure('policy/limit', text, found.index, `nested deeper than ${policyDepthMax}`)
    } else if (')]}'.includes(piece)) {
      depth--
    } else if (words.has(piece) || /^[&|=!<>+\-*.@?]/.test(piece)) {
      if (++operators > policyOperatorsMax)
        throw policyFailure('policy/limit', text, found.index, `more than ${policyOperatorsMax} operators in a policy`)
    }
  }
  if (start >= 0) throw policyFailure('policy/syntax', text, text.length, 'a policy does not end with a semicolon')
  return spans
}
