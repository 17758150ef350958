/**
 * What belongs in test/fuzz: looking for input that a parser cannot bear: targets, mutation, coverage, the command.
 * Properties of single parsers stand beside their tests.
 */
import { isFailure } from '#core/failure.js'

/** One parser as the fuzzer asks it: it answers any bytes, or throws a Failure. */
export interface Target {
  /** inputs that are good, or nearly */
  seeds(): readonly Uint8Array[] | Promise<readonly Uint8Array[]>
  run(bytes: Uint8Array): unknown
  /** words of the format */
  readonly words?: readonly string[]
  /** bytes at most; 16 KiB when left out */
  readonly sizeMax?: number
}

/** Words of every JSON format. */
export const json = [
  '{"',
  '":',
  '[',
  ']',
  '}',
  ',',
  'null',
  'true',
  '\\u0000',
  '\\ud800',
  '__proto__',
  '1e309',
  '-0',
  '9007199254740993',
  '18446744073709551616',
]

/** One after the other, each by itself: the first failure must not keep the second from being asked. */
export function each(...parsers: readonly (() => unknown)[]): void {
  for (const parse of parsers) {
    try {
      parse()
    } catch (error) {
      if (!isFailure(error)) throw error
    }
  }
}
