/**
 * What belongs in attest/tdx: everything that knows Intel TDX, from a quote's body to neutral claims. What TDX shares
 * with SGX is in attest/dcap. This file: offsets, sizes and constants only, with the specification's field names.
 *
 * source  Intel TDX DCAP Quoting Library API, appendix A, "TD Quote Body"; Intel TDX Module Base Architecture
 *         Specification, "ATTRIBUTES"; ACPI 6.5, "CCEL"; TCG PC Client Platform Firmware Profile, "Event Logging"
 */

/** Offset and size of each field of a TD report; the last two are there in version 1.5 only. */
export const field = {
  /** 0 security version of the module, 1 its version, 2 microcode: those with which the TD was started */
  teeTcbSvn: [0, 16],
  mrSeam: [16, 48],
  /** zero stands for Intel */
  mrSignerSeam: [64, 48],
  seamAttributes: [112, 8],
  tdAttributes: [120, 8],
  xfam: [128, 8],
  mrTd: [136, 48],
  mrConfigId: [184, 48],
  mrOwner: [232, 48],
  mrOwnerConfig: [280, 48],
  rtmr0: [328, 48],
  rtmr1: [376, 48],
  rtmr2: [424, 48],
  rtmr3: [472, 48],
  reportData: [520, 64],
  /** as teeTcbSvn, but now */
  teeTcbSvn2: [584, 16],
  mrServiceTd: [600, 48],
} as const satisfies Readonly<Record<string, readonly [number, number]>>
export type Field = keyof typeof field

export const registerCount = 4

/** Bits of the TD attributes. Bits 0 to 7 make a TD untrusted, named or not. */
export const attributeBit = {
  debug: 0,
  septVeDisable: 28,
  migratable: 29,
  protectionKeys: 30,
  keyLocker: 31,
  perfmon: 63,
} as const
export const untrustedAttributes = 0xffn

/** A CCEL log. source: TCG PC Client Platform Firmware Profile, "TCG_PCR_EVENT2" */
export const ccel = {
  noAction: 3,
  specId: 'Spec ID Event03',
  sha384: 0x000c,
  digestSize: 48,
  /** events and their data: far above what firmware writes */
  eventsMax: 4096,
  eventDataMax: 256 * 1024,
} as const

/** Events that a guest's runtime adds to RTMR3. */
export const runtimeEvent = {
  type: 0x0800_0001,
  register: 3,
  endOfBoot: 'system-ready',
  eventsMax: 4096,
  /** what a boot says of itself; other names are counted, and not shown */
  bootNames: ['app-id', 'compose-hash', 'instance-id', 'boot-mr-done', 'key-provider', 'os-image-hash'],
  /** payload of one of these, in bytes */
  bootPayloadMax: 1024,
} as const
