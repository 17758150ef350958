/**
 * The keys of NVIDIA's roots: SHA-256 of the DER SubjectPublicKeyInfo, hex. Only these make evidence `hardware` (I6, I19).
 * The certificates stand in roots/, and a test compares them with these digests.
 *
 * source  NVIDIA nvtrust, local_gpu_verifier, "certs"; roots/README.md names where each file is from
 */
export const nvidiaRoots = {
  /** NVIDIA Device Identity CA, above every GPU and switch */
  device: 'a90c4eb5acfd3e3d03a25db6a26b84f720ad0503196c627c21ddd48dd85b06a4',
  /** NVIDIA CoRIM signing Root CA, above everyone who signs reference integrity manifests */
  rim: 'dec1dc316477aa851eebdf51327ae9f864bc8d89254657ed1e7eb9168af1e1a3',
} as const
