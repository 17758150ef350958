import { list, nullable, object, type Shaped, string } from '#core/encoding/shape.js'
import { Failure } from '#core/failure.js'
import { ownerOf } from '#core/wire/names.js'

/** Failures of what a revocation names. */
export type RevokedCode = 'revoked/value' | 'revoked/model'

/** What an owner can take back. */
export const revokedKinds = [
  'measurement',
  'platform',
  'device',
  'driver',
  'vbios',
  'advisory',
  'host',
  'operator',
  'keyset',
  'version',
  'lease',
  'model',
] as const
export type RevokedKind = (typeof revokedKinds)[number]

/** The form of each: a typing mistake would take nothing back, in silence. */
const forms: Readonly<Record<RevokedKind, RegExp>> = {
  /** of anything that names software, lowercase hex */
  measurement: /^(?:[0-9a-f]{64}|[0-9a-f]{96}|[0-9a-f]{128})$/,
  /** id of a machine, and of a GPU or switch, lowercase hex */
  platform: /^(?:[0-9a-f]{2}){8,64}$/,
  device: /^(?:[0-9a-f]{2}){8,64}$/,
  /** versions as the devices spell them: `535.86.09`, `96.00.30.00.01` */
  driver: /^[0-9]{1,5}(?:\.[0-9]{1,5}){1,3}$/,
  vbios: /^[0-9A-F]{2}(?:\.[0-9A-F]{2}){4}$/,
  /** ids as the vendors spell them */
  advisory: /^(?:INTEL-SA-[0-9]{5}|AMD-SB-[0-9]{4})$/,
  /** thumbprint of the key of its host statement, or digest of that statement */
  host: /^(?:[A-Za-z0-9_-]{43}|[0-9a-f]{64})$/,
  /** legal name, as host statements have it: case and spaces do not count */
  operator: /^(?=.*\S)[^\p{Cc}]{1,200}$/u,
  keyset: /^[0-9a-f]{64}$/,
  version: /^[1-9][0-9]{0,14}$/,
  lease: /^[0-9a-f]{32}$/,
  /** the model that the statement is about, whole: nothing of it is released any more */
  model: /^[A-Za-z0-9_-]{43}\/[a-z0-9][a-z0-9._-]{0,99}$/,
}

/** Whether a value has the form of its kind. */
export function isRevokedForm(kind: RevokedKind, value: string): boolean {
  return forms[kind].test(value)
}

/**
 * Every value of a revocation has the form of its kind, and a model is the one that the statement is about.
 *
 * throws  revoked/value, revoked/model
 */
export function verifyRevoked(
  revoked: readonly { readonly kind: RevokedKind; readonly value: string }[],
  model: string,
): void {
  for (const { kind, value } of revoked) {
    if (!isRevokedForm(kind, value))
      throw new Failure<RevokedCode>('revoked/value', `${JSON.stringify(value)} has not the form of a ${kind}`)
    if (kind === 'model' && value !== model)
      throw new Failure<RevokedCode>(
        'revoked/model',
        `a revocation of ${ownerOf(model)} names another model than its own`,
      )
  }
}

/** What evidence names of a node, as far as an owner may take something back by it. */
export const namedMachineShape = object({
  /** every value that names software on the machine, lowercase hex, what was launched first */
  measurements: list(string({ max: 128 }), { min: 1, max: 64 }),
  /** lowercase hex; null where its kind has none or the host hides it */
  platformId: nullable(string({ max: 128 })),
  devices: list(string({ max: 128 }), { max: 64 }),
  /** versions of the drivers and VBIOSes of the devices */
  drivers: list(string({ max: 64 }), { max: 64 }),
  vbioses: list(string({ max: 64 }), { max: 64 }),
  /** vendors' advisories that stand against it; ids, and prefixes that end with a hyphen, of which it would name them */
  advisories: list(string({ max: 64 }), { max: 1000 }),
  advisoriesTold: list(string({ max: 64 }), { max: 16 }),
})
export type NamedMachine = Shaped<typeof namedMachineShape>
