import { Failure } from '#core/failure.js'
import type { KekCode } from '#keybroker/kek/kek.js'

/*
 * Constants of PKCS #11 that are used here, under the names that the standard gives them.
 * source  OASIS PKCS #11 Cryptographic Token Interface Base Specification 2.40 and 3.0, "pkcs11t.h"
 */

export const CKF = {
  OS_LOCKING_OK: 0x2,
  LOGIN_REQUIRED: 0x4,
  RW_SESSION: 0x2,
  SERIAL_SESSION: 0x4,
  TOKEN_INITIALIZED: 0x400,
  USER_PIN_FINAL_TRY: 0x20000,
  USER_PIN_LOCKED: 0x40000,
} as const
export const CKU_USER = 1
export const CKO_SECRET_KEY = 4
export const CKK_AES = 0x1f
export const CKM_AES_KEY_GEN = 0x1080
export const CKM_AES_GCM = 0x1087
export const CKA = {
  CLASS: 0x0,
  TOKEN: 0x1,
  PRIVATE: 0x2,
  LABEL: 0x3,
  KEY_TYPE: 0x100,
  ID: 0x102,
  SENSITIVE: 0x103,
  ENCRYPT: 0x104,
  DECRYPT: 0x105,
  WRAP: 0x106,
  UNWRAP: 0x107,
  SIGN: 0x108,
  VERIFY: 0x10a,
  DERIVE: 0x10c,
  VALUE_LEN: 0x161,
  EXTRACTABLE: 0x162,
} as const
/** CK_UNAVAILABLE_INFORMATION: the length of an attribute that the token does not tell. */
export const unavailable = 2 ** 64

/** What a return value means for the caller: its code, and whether a new session may mend it. */
interface Meaning {
  readonly name: string
  readonly code: KekCode
  /** the session or the library is gone, and the key may well be there: open again, once */
  readonly reopen?: true
}
const device = (name: string): Meaning => ({ name, code: 'kek/pkcs11-device' })
const lost = (name: string): Meaning => ({ name, code: 'kek/pkcs11-session', reopen: true })
const pin = (name: string): Meaning => ({ name, code: 'kek/pkcs11-pin' })
const mechanism = (name: string): Meaning => ({ name, code: 'kek/pkcs11-mechanism' })
const key = (name: string): Meaning => ({ name, code: 'kek/pkcs11-key' })
const tag = (name: string): Meaning => ({ name, code: 'kek/unwrap' })

const meanings: Readonly<Record<number, Meaning>> = {
  2: device('CKR_HOST_MEMORY'),
  3: { name: 'CKR_SLOT_ID_INVALID', code: 'kek/pkcs11-token', reopen: true },
  10: { name: 'CKR_CANT_LOCK', code: 'kek/pkcs11-module' },
  48: { name: 'CKR_DEVICE_ERROR', code: 'kek/pkcs11-device', reopen: true },
  49: device('CKR_DEVICE_MEMORY'),
  50: { name: 'CKR_DEVICE_REMOVED', code: 'kek/pkcs11-device', reopen: true },
  64: tag('CKR_ENCRYPTED_DATA_INVALID'),
  65: tag('CKR_ENCRYPTED_DATA_LEN_RANGE'),
  66: tag('CKR_AEAD_DECRYPT_FAILED'),
  96: { name: 'CKR_KEY_HANDLE_INVALID', code: 'kek/pkcs11-key', reopen: true },
  98: key('CKR_KEY_SIZE_RANGE'),
  99: key('CKR_KEY_TYPE_INCONSISTENT'),
  104: key('CKR_KEY_FUNCTION_NOT_PERMITTED'),
  112: mechanism('CKR_MECHANISM_INVALID'),
  113: mechanism('CKR_MECHANISM_PARAM_INVALID'),
  130: { name: 'CKR_OBJECT_HANDLE_INVALID', code: 'kek/pkcs11-key', reopen: true },
  144: lost('CKR_OPERATION_ACTIVE'),
  160: pin('CKR_PIN_INCORRECT'),
  161: pin('CKR_PIN_INVALID'),
  162: pin('CKR_PIN_LEN_RANGE'),
  163: pin('CKR_PIN_EXPIRED'),
  164: pin('CKR_PIN_LOCKED'),
  176: lost('CKR_SESSION_CLOSED'),
  177: { name: 'CKR_SESSION_COUNT', code: 'kek/pkcs11-session' },
  179: lost('CKR_SESSION_HANDLE_INVALID'),
  181: { name: 'CKR_SESSION_READ_ONLY', code: 'kek/pkcs11-session' },
  224: { name: 'CKR_TOKEN_NOT_PRESENT', code: 'kek/pkcs11-token', reopen: true },
  225: { name: 'CKR_TOKEN_NOT_RECOGNIZED', code: 'kek/pkcs11-token' },
  226: { name: 'CKR_TOKEN_WRITE_PROTECTED', code: 'kek/pkcs11-token' },
  257: lost('CKR_USER_NOT_LOGGED_IN'),
  258: pin('CKR_USER_PIN_NOT_INITIALIZED'),
  260: { name: 'CKR_USER_ANOTHER_ALREADY_LOGGED_IN', code: 'kek/pkcs11-session' },
  400: lost('CKR_CRYPTOKI_NOT_INITIALIZED'),
}

export const CKR = {
  OK: 0,
  GENERAL_ERROR: 0x5,
  FUNCTION_FAILED: 0x6,
  DATA_INVALID: 0x20,
  ATTRIBUTE_SENSITIVE: 0x11,
  ATTRIBUTE_TYPE_INVALID: 0x12,
  BUFFER_TOO_SMALL: 0x150,
  TOKEN_NOT_PRESENT: 0xe0,
  TOKEN_NOT_RECOGNIZED: 0xe1,
  USER_ALREADY_LOGGED_IN: 0x100,
  CRYPTOKI_ALREADY_INITIALIZED: 0x191,
} as const
const plainNames: Readonly<Record<number, string>> = {
  [CKR.GENERAL_ERROR]: 'CKR_GENERAL_ERROR',
  [CKR.FUNCTION_FAILED]: 'CKR_FUNCTION_FAILED',
  [CKR.DATA_INVALID]: 'CKR_DATA_INVALID',
  [CKR.ATTRIBUTE_TYPE_INVALID]: 'CKR_ATTRIBUTE_TYPE_INVALID',
  [CKR.BUFFER_TOO_SMALL]: 'CKR_BUFFER_TOO_SMALL',
}

/** A function of the module that did not succeed. `reopen`: a new session may mend it. */
export class CryptokiFailure extends Failure<KekCode> {
  readonly rv: number
  readonly reopen: boolean

  constructor(call: string, rv: number) {
    const known = Object.hasOwn(meanings, rv) ? meanings[rv] : undefined
    const name = known?.name ?? plainNames[rv] ?? 'a return value of no meaning here'
    super(known?.code ?? 'kek/pkcs11-failed', `${call} of the PKCS #11 module: ${name} (0x${rv.toString(16)})`)
    this.rv = rv
    this.reopen = known?.reopen === true
  }
}
