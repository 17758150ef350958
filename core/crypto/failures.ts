/** Failures of core/crypto. */
export type CryptoCode = 'crypto/signature' | 'crypto/aead-tag' | 'crypto/key' | 'crypto/hpke-open' | 'crypto/shares'
