import { readInput } from '#cli/input.js'
import { nobody, type Own } from '#client/audit/rules.js'
import { fromBase64, toHex } from '#core/bytes/bytes.js'
import { sha256 } from '#core/crypto/hash.js'
import { parseJson } from '#core/encoding/json.js'
import { Failure, isFailure } from '#core/failure.js'
import { MiB, policySizeMax } from '#core/limits.js'
import { anyBundleShape } from '#core/wire/bundle.js'
import { parseEntry } from '#core/wire/entries.js'

/** Failures of saying which entries of a log are one's own. */
export type OwnCode =
  /** a bundle that names no owner */
  'audit/mine'

/**
 * Whose entries are told: those of the owners that these bundles are of, by the commitment in each bundle's leaf. It is a filter for the
 * reader's own eyes, and nothing is believed for it.
 *
 * throws  audit/mine, input/..., json/..., shape/...
 */
export async function ownOf(args: {
  readonly mine?: readonly string[] | undefined
  readonly policy?: readonly string[] | undefined
}): Promise<Own> {
  const { mine = [], policy } = args
  const tenants = new Set<string>()
  for (const path of mine) tenants.add(await pseudonymIn(path))
  if (policy === undefined) return { ...nobody, tenants }
  const policies = new Set<string>()
  for (const path of policy) policies.add(toHex(sha256(await readInput(path, 'policy', policySizeMax))))
  return { tenants, policies }
}

async function pseudonymIn(path: string): Promise<string> {
  try {
    const bundle = anyBundleShape(parseJson(await readInput(path, 'bundle', 16 * MiB)), 'bundle')
    const entry = parseEntry(fromBase64(bundle.leaf))
    if ('tenant' in entry && entry.tenant !== null) return entry.tenant
  } catch (cause) {
    if (!isFailure(cause) || cause.code.startsWith('input/')) throw cause
    throw new Failure<OwnCode>('audit/mine', `${path} is no bundle: ${cause.message}`, {
      cause,
      detail: { hint: './claviger bundle 17 --broker URL --keys KEYS --out bundle.json' },
    })
  }
  throw new Failure<OwnCode>('audit/mine', `${path} is of an entry without an owner`, {
    detail: { hint: 'take one of a statement or decision of yours' },
  })
}
