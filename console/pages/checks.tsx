import type { Step } from '#attest/trace.js'
import { anchorOf, type CheckTable, checkTables, kindsById } from '#console/anchors.js'
import { Page, type Served } from '#console/pages/layout.js'

function CheckItem({ kind, step }: { readonly kind: string; readonly step: Step }) {
  const anchor = anchorOf(kind, step.id)
  return (
    <li id={anchor} data-id={step.id}>
      <p class="head">
        <a href={`#${anchor}`}>
          <code>{step.id}</code>
        </a>
      </p>
      <dl>
        <dt>section</dt>
        <dd>
          {step.document}, “{step.section}”
        </dd>
        <dt>expected</dt>
        <dd>{step.expected}</dd>
        {step.without === undefined ? null : <dt>or skipped</dt>}
        {step.without === undefined ? null : <dd>{step.without}</dd>}
      </dl>
    </li>
  )
}

function Kind({ table: { kind, steps, checks } }: { readonly table: CheckTable }) {
  const list = (title: string, all: readonly Step[]) =>
    all.length === 0 ? null : (
      <>
        <h3>{title}</h3>
        <ol class="steps">
          {all.map((step) => (
            <CheckItem kind={kind} step={step} />
          ))}
        </ol>
      </>
    )
  return (
    <section aria-labelledby={`kind-${kind}`}>
      <h2 id={`kind-${kind}`}>{kind}</h2>
      {list('Steps of the verification, in order', steps)}
      {list('Comparisons of the appraisal', checks)}
    </section>
  )
}

/** Every step and comparison there is, from the catalogue that docs/spec/checks.md is written from, each with an anchor. */
export function ChecksPage({ served }: { readonly served: Served }) {
  return (
    <Page title="Checks" path="/checks" served={served}>
      <h1>Checks</h1>
      <p>
        Every step of a verification and every comparison of an appraisal has an id that never changes: the same here,
        in the command line, in JSON and in <code>docs/spec/checks.md</code>. A step that fails ends the verification;
        what comes after it is skipped. A skip is never a pass.
      </p>
      <nav aria-label="Kinds of evidence">
        <ul class="inline">
          {checkTables.map(({ kind }) => (
            <li>
              <a href={`#kind-${kind}`}>{kind}</a>
            </li>
          ))}
        </ul>
      </nav>
      {checkTables.map((table) => (
        <Kind table={table} />
      ))}
      <section aria-labelledby="ids">
        <h2 id="ids">All ids</h2>
        <ul class="ids">
          {[...kindsById()].map(([id, kinds]) => (
            <li id={id}>
              <code>{id}</code>:{' '}
              {kinds.map((kind, i) => (
                <>
                  {i === 0 ? '' : ', '}
                  <a href={`#${anchorOf(kind, id)}`} aria-label={`${id} of ${kind}`}>
                    {kind}
                  </a>
                </>
              ))}
            </li>
          ))}
        </ul>
      </section>
    </Page>
  )
}
