/**
 * The command line, watched: whenever a key is made, read or taken in, a line in a file says whether the memory of this process
 * was closed by then. `node key-watch.js main|program FILE ...words`: `program` leaves out what main.js does before a command.
 */
import crypto from 'node:crypto'
import { appendFileSync } from 'node:fs'
import promises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import koffi from 'koffi'

const [how, out, ...words] = process.argv.slice(2)
// <linux/prctl.h>
const PR_GET_DUMPABLE = 3
const prctl = koffi.load(null).func('int prctl(int, ulong, ulong, ulong, ulong)') as unknown as (
  option: number,
  ...rest: readonly number[]
) => number
const secret = /\.(key|pk8)\b|key\.pem|identity\.txt|\.tmp$/

function saw(what: string): void {
  appendFileSync(out!, `${prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) === 0 ? 'closed' : 'open'} ${what}\n`)
}

type Call = (...args: never[]) => unknown
/** `owner[name]` tells of each call that `sees` it in, and does what it did. */
function watch(owner: object, name: string, sees: (first: unknown) => string | null): void {
  const members = owner as Record<string, Call>
  const call = members[name]!
  members[name] = function (this: unknown, ...args: never[]) {
    const what = sees(args[0])
    if (what !== null) saw(`${name} ${what}`)
    return call.apply(this, args)
  }
}
const named = (path: unknown) => (secret.test(String(path)) ? String(path) : null)
for (const name of ['open', 'readFile', 'writeFile']) watch(promises, name, named)
for (const name of ['createPrivateKey', 'generateKeyPairSync']) watch(crypto, name, () => '')
watch(Object.getPrototypeOf(crypto.webcrypto.subtle) as object, 'generateKey', () => '')
syncBuiltinESMExports()

// The words of the command stand where they would.
process.argv = [process.argv[0]!, 'claviger', ...words]
if (how === 'main') await import('#cli/main.js')
else {
  const { processIo } = await import('#cli/output.js')
  const { createProgram } = await import('#cli/program.js')
  await (await createProgram(processIo(), words[0])).parseAsync(process.argv)
}
