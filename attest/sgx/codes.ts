/** Failures of verifying SGX evidence beyond those of its quote. */
export type SgxCode = 'sgx/body' | 'sgx/quote-version'
