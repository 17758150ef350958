import { readInput } from '#cli/input.js'
import { Failure, isFailure } from '#core/failure.js'

/** Failures of a file that holds a bearer token. */
export type TokenCode = 'token/form'

const tokenSizeMax = 8 * 1024 + 2

/**
 * The token in a file, `-` for standard input. A file of another kind is refused before anything of it is sent or shown: it
 * may hold a key.
 *
 * throws  input/unreadable, token/form
 */
export async function readToken(path: string, what: string): Promise<string> {
  const text = await readInput(path, what, tokenSizeMax)
    .then((bytes) => Buffer.from(bytes).toString('latin1').trim())
    .catch((error: unknown) => {
      if (isFailure(error) && error.code === 'input/size') return ''
      throw error
    })
  if (/^[A-Za-z0-9._~+/-]{16,8192}=*$/.test(text)) return text
  throw new Failure<TokenCode>(
    'token/form',
    `${path} does not hold ${what}: expected one line of 16 letters and digits or more`,
  )
}
