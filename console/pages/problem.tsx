import { Page, type Served } from '#console/pages/layout.js'

interface Problem {
  readonly status: number
  readonly code: string
  readonly message: string
}

/** What a browser is shown where there is no page. */
export function ProblemPage({ served, problem }: { readonly served: Served; readonly problem: Problem }) {
  return (
    <Page title={`Error ${problem.status}`} path="" served={served}>
      <h1>Error {problem.status}</h1>
      <p>
        {problem.message} (<code>{problem.code}</code>)
      </p>
    </Page>
  )
}
