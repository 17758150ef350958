/**
 * What belongs in test/fuzz: looking for input that a parser cannot bear: targets, mutation, coverage, the command.
 * Properties of single parsers stand beside their tests.
 */
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
