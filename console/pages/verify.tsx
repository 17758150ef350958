import type { NamedFile } from '#attest/pool.js'
import { Page, type Served } from '#console/pages/layout.js'
import { fromUtf8 } from '#core/bytes/bytes.js'

interface FieldProps {
  readonly id: string
  readonly label: string
  /** the option of `claviger attest verify` that means the same */
  readonly option?: string | undefined
  readonly help: string
}

function Named({ label, option, id }: Pick<FieldProps, 'label' | 'option' | 'id'>) {
  return (
    <label for={id}>
      {label} {option === undefined ? null : <code>{option}</code>}
    </label>
  )
}

function FileField({ id, label, option, help, multiple = false }: FieldProps & { readonly multiple?: boolean }) {
  return (
    <div class="field">
      <Named id={id} label={label} option={option} />
      <input type="file" id={id} name={id} multiple={multiple} aria-describedby={`${id}-help`} />
      <p class="help" id={`${id}-help`}>
        {help}
      </p>
    </div>
  )
}

function TextField({ id, label, option, help }: FieldProps) {
  return (
    <div class="field">
      <Named id={id} label={label} option={option} />
      <input
        type="text"
        id={id}
        name={id}
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        aria-describedby={`${id}-help`}
      />
      <p class="help" id={`${id}-help`}>
        {help}
      </p>
    </div>
  )
}

function Evidence() {
  return (
    <fieldset id="drop">
      <legend>Evidence</legend>
      <FileField
        id="evidence"
        label="File"
        help="Choose a file, or drop one anywhere in this box: an envelope, an SEV-SNP report, a TDX or SGX quote, a Nitro document, an Azure HCL report, an NVIDIA device report, a CCA token; also as hex, base64 or PEM. At most 16 MiB."
      />
      <div class="field">
        <label for="pasted">or its text</label>
        <textarea id="pasted" name="pasted" rows={4} spellcheck={false} autocomplete="off" />
      </div>
      <FileField
        id="collateral"
        label="Files beside it"
        option="--collateral"
        multiple
        help="Certificates, CRLs, TCB info, RIMs, other parts of the same evidence, or an offline bundle: what a raw report or quote does not carry. Names do not matter; nothing of them is believed before it is verified."
      />
    </fieldset>
  )
}

function Expected() {
  return (
    <fieldset>
      <legend>What it has to answer, one of these</legend>
      <TextField
        id="nonce"
        label="Nonce"
        option="--nonce"
        help="Hex. Nitro, Azure and NVIDIA evidence carries a nonce."
      />
      <TextField
        id="report-data"
        label="Report data"
        option="--report-data"
        help="Hex, 64 bytes, compared whole. SEV-SNP, TDX, SGX and CCA evidence carries them."
      />
      <FileField
        id="binding"
        label="Binding"
        option="--binding"
        help="JSON: what a node of ours binds. It also joins devices to their machine."
      />
    </fieldset>
  )
}

function Accepted() {
  return (
    <fieldset>
      <legend>What you accept</legend>
      <FileField
        id="reference-values"
        label="Reference values"
        option="--reference-values"
        help="Your own, the file of a runtime, or a signed set, SLSA statement or CoRIM."
      />
      <FileField
        id="values"
        label="Values beside a signed document"
        option="--values"
        help="Those that a statement names, or whose lists a CoRIM replaces."
      />
      <FileField
        id="trust"
        label="Trust file"
        option="--trust"
        help="Publishers, simulated roots, and the oldest lists that you take. Unlike the command, this page does not remember a newer one from before."
      />
    </fieldset>
  )
}

function More() {
  return (
    <fieldset>
      <legend>Time and simulation</legend>
      <TextField
        id="at"
        label="Judge at"
        option="--at"
        help="Such as 2026-03-01T00:00:00Z, or Unix seconds; empty is now, by the clock of this browser."
      />
      <TextField
        id="simulated-root"
        label="Simulated roots"
        option="--simulated-root"
        help="SHA-256 of throwaway roots in hex, with spaces between them. What stands under one is NOT HARDWARE."
      />
      <div class="field check">
        <input type="checkbox" id="allow-simulated" name="allow-simulated" />
        <label for="allow-simulated">
          Accept simulated evidence, for development only <code>--dangerous-allow-simulated</code>
        </label>
      </div>
    </fieldset>
  )
}

/** The page on which a browser verifies evidence by itself. `shipped` stands in it, so that nothing has to be fetched. */
export function VerifyPage({ served, shipped }: { readonly served: Served; readonly shipped: readonly NamedFile[] }) {
  return (
    <Page title="Verify evidence" path="/" served={served} runs>
      <h1>Verify evidence</h1>
      <p>
        Your browser verifies it, by the same code as <code>claviger attest verify</code>. Nothing that you put in here
        leaves this page: it may open no connection.
      </p>
      <p class="note">
        <strong>Advisory.</strong> A page shows what whoever serves it lets it show. Served by the party that you audit,
        it is information and no proof: what counts is the check of your own client, or the command below the verdict,
        run from a copy of your own.
      </p>
      <noscript>
        <p class="note">
          <strong>Scripts are switched off.</strong> Without them nothing is verified here; the command is:{' '}
          <code>./claviger attest verify FILE</code>
        </p>
      </noscript>
      <form id="verify">
        <Evidence />
        <Expected />
        <Accepted />
        <More />
        <button type="submit">Verify</button>
      </form>
      <section id="result" aria-labelledby="verdict" tabindex={-1} hidden />
      <p id="announced" role="status" class="away" />
      <div id="shipped" hidden>
        {shipped.map(({ name, bytes }) => (
          <pre data-name={name}>{fromUtf8(bytes)}</pre>
        ))}
      </div>
    </Page>
  )
}
