/**
 * What belongs in core/crypto: every primitive, and nothing that knows a format. Two backends stand behind this
 * interface, chosen by import condition: `node` (node:crypto) and `browser` (WebCrypto and an audited pure library).
 * Hashing and HMAC are synchronous in both; everything with a key that may be slow returns a promise in both.
 */

export type HashName = 'sha256' | 'sha384' | 'sha512'

/** A signature algorithm with everything that its name must fix: curve, hash, encoding, salt. */
export type SignatureAlgorithm =
  | 'Ed25519'
  /** ECDSA P-256 with SHA-256, raw r||s (64 bytes), as in JOSE */
  | 'ES256'
  /** ECDSA P-384 with SHA-384, raw r||s (96 bytes), as in JOSE */
  | 'ES384'
  /** RSASSA-PSS with SHA-384, MGF1 with SHA-384, salt 48: AMD's certificates */
  | 'RSA-PSS-SHA384'
  /** RSASSA-PKCS1-v1_5 with SHA-256: certificates and TPM quotes */
  | 'RSA-SHA256'

/**
 * A private signing key that can be moved about as PKCS#8, or stay where it was made. `key` is the platform's reference
 * to it, a KeyObject (node) or a CryptoKey that cannot be exported (browser), for libraries that sign with such a one.
 */
export interface PrivateKeyHandle {
  readonly algorithm: SignatureAlgorithm
  readonly key: { readonly type: string }
}

/** A hash that takes its message in pieces. `digest` ends it. */
export interface RunningHash {
  update(bytes: Uint8Array): void
  digest(): Uint8Array
}

/**
 * AES-256-GCM without a promise, into memory that the caller owns: the hot loop of sealed models.
 * A destination may be a view of shared memory. No copy of the plaintext is left behind.
 */
export interface SegmentCipher {
  /** ciphertext and tag; `destination` is 16 bytes longer than `plaintext` */
  sealInto(key: Uint8Array, iv: Uint8Array, aad: Uint8Array, plaintext: Uint8Array, destination: Uint8Array): void
  /** false, and a zeroed destination, when the tag does not fit; `destination` is 16 bytes shorter than `sealed` */
  openInto(key: Uint8Array, iv: Uint8Array, aad: Uint8Array, sealed: Uint8Array, destination: Uint8Array): boolean
}

export interface Backend {
  readonly name: 'node' | 'browser'
  /** null where only promises are on offer */
  readonly segments: SegmentCipher | null
  hash(name: HashName, bytes: Uint8Array): Uint8Array
  /** the same in lowercase hex; a text stands for its UTF-8 */
  hashHex(name: HashName, message: Uint8Array | string): string
  runningHash(name: HashName): RunningHash
  hmac(name: HashName, key: Uint8Array, message: Uint8Array): Uint8Array
  randomBytes(size: number): Uint8Array
  /** ciphertext, then the 16-byte tag; key 32, iv 12 */
  aesGcmSeal(key: Uint8Array, iv: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Promise<Uint8Array>
  /** the plaintext, or null when the tag does not fit */
  aesGcmOpen(key: Uint8Array, iv: Uint8Array, aad: Uint8Array, sealed: Uint8Array): Promise<Uint8Array | null>
  generateKey(
    algorithm: 'Ed25519' | 'ES256' | 'ES384',
  ): Promise<{ readonly pkcs8: Uint8Array; readonly spki: Uint8Array }>
  importPrivateKey(algorithm: SignatureAlgorithm, pkcs8: Uint8Array): Promise<PrivateKeyHandle>
  sign(key: PrivateKeyHandle, message: Uint8Array): Promise<Uint8Array>
  /**
   * X25519 of 32 secret bytes and a point of 32 (RFC 7748), in memory of its own for the caller to wipe. Throws
   * `crypto/key` where the result is zero: the point is of small order.
   */
  x25519(scalar: Uint8Array, point: Uint8Array): Promise<Uint8Array>
  /**
   * The same with a key pair that the platform makes for this one exchange and forgets: its private half is never in our memory, and
   * costs less than one that is brought in. `ephemeral` is its public half.
   */
  x25519Once(point: Uint8Array): Promise<{ readonly ephemeral: Uint8Array; readonly secret: Uint8Array }>
  /**
   * False for a wrong signature and for a key that is not one of this algorithm.
   *
   * der  the same ECDSA signature in DER, of the one spelling, where the caller has it: nearer to some libraries
   */
  verify(
    algorithm: SignatureAlgorithm,
    spki: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
    der?: Uint8Array,
  ): Promise<boolean>
}
