/** The version of this package: of `--version`, and in attestation results of who made them. */
export const build = '0.1.0'
