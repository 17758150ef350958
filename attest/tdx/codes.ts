/** Failures of verifying TDX evidence beyond those of its quote, in the order of the steps that raise them. */
export type TdxCode =
  | 'tdx/body'
  | 'tdx/module-identity'
  | 'tdx/module-signer'
  | 'tdx/module-attributes'
  | 'tdx/event-log-form'
  | 'tdx/event-log-replay'
