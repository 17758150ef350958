import { boolean, hex, integer, list, object, oneOf, optional, type Shaped, string } from '#core/encoding/shape.js'

const svn = integer({ max: 255 })

/** Least security versions of a Milan or Genoa platform. */
const tcbFloor = object({ bootLoader: svn, tee: svn, snp: svn, microcode: svn })
/** Turin counts its FMC as well. */
const turinTcbFloor = object({ fmc: svn, bootLoader: svn, tee: svn, snp: svn, microcode: svn })

/** `reported` names the key that signed, `committed` what cannot be rolled back, `launch` what started the guest. */
const floors = object({ reported: tcbFloor, committed: tcbFloor, launch: tcbFloor })
const turinFloors = object({ reported: turinTcbFloor, committed: turinTcbFloor, launch: turinTcbFloor })

const anyOf = <T>(item: Parameters<typeof list<T>>[0], max = 256) => optional(list(item, { min: 1, max }))

/**
 * What an owner accepts from an SEV-SNP node. A list that is absent accepts any value; every other member must be there.
 *
 * products   floors of each accepted product; a product that is absent is refused
 * allowMilan Milan is refused without it even when it has floors: its endorsement key can be recovered in software
 * crl        `required` refuses evidence without a current CRL of the vendor root
 */
export const snpReferenceValuesShape = object({
  measurements: list(hex(48), { min: 1, max: 256 }),
  hostData: anyOf(hex(32)),
  idKeyDigests: anyOf(hex(48)),
  authorKeyDigests: anyOf(hex(48)),
  chipIds: anyOf(hex(64), 1000),
  cspIds: anyOf(string({ max: 100 }), 64),
  signingKeys: list(oneOf('VCEK', 'VLEK'), { min: 1, max: 2 }),
  vmpls: list(integer({ max: 3 }), { min: 1, max: 4 }),
  guestSvnMin: integer({ max: 0xffff_ffff }),
  products: object({ Milan: optional(floors), Genoa: optional(floors), Turin: optional(turinFloors) }),
  allowMilan: boolean,
  allowSmt: boolean,
  allowMigrationAgent: boolean,
  requireAliasCheck: boolean,
  requireCiphertextHiding: boolean,
  crl: oneOf('required', 'when-given'),
})
export type SnpReferenceValues = Shaped<typeof snpReferenceValuesShape>

/** The owner's reference values, one member for each accepted kind of evidence. A kind that is absent is refused. */
export const referenceValuesShape = object({ snp: optional(snpReferenceValuesShape) })
export type ReferenceValues = Shaped<typeof referenceValuesShape>
