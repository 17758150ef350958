/**
 * Seals a folder for the tests that kill a sealer or measure its memory. Says on standard output, line by line, how many
 * bytes are done, and at the end how much memory the process had before and at most.
 */
import { readFileSync } from 'node:fs'
import { loadOwnerKeys, storeModelKey } from '#convert/keys/owner-keys.js'
import { sealModel } from '#convert/seal/seal.js'

const [folder, out, keys] = process.argv.slice(2) as [string, string, string]

/** Resident memory in KiB: now, and the most there ever was. source: proc(5), "VmRSS", "VmHWM" */
function memory(name: 'VmRSS' | 'VmHWM'): number {
  return Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))![1])
}

const say = (value: object) => process.stdout.write(`${JSON.stringify(value)}\n`)

const owner = await loadOwnerKeys(keys)
const before = memory('VmRSS')
await sealModel({
  folder,
  out,
  modelName: 'large',
  version: 1,
  ownerKey: owner.signingKey,
  recoveryRecipient: owner.recoveryRecipient,
  storeKey: (digest, dek) => storeModelKey(keys, digest, dek),
  onProgress: ({ done }) => say({ done }),
})
say({ before, most: memory('VmHWM') })
