// SPDX-License-Identifier: ISC
import { useMachines, useRelay, useStatus } from "./muster.js";

export function App({ server, apiKey, endpoint }: { server: string; apiKey: string; endpoint: string }) {
  const status = useStatus(`${server}/ws-frontend`);
  const machines = useMachines(`${server}/`, apiKey);
  const relay = useRelay(`${server}/ws/${endpoint}`, "react-1");
  return (
    <>
      <p role="status">{relay.state}</p>
      <ul id="status">
        {[...status.values()].map((report) => (
          <li key={report.serverId}>
            {report.serverName}: {report.cpu.percent} %
          </li>
        ))}
      </ul>
      <ul id="machines">
        {machines.map((machine) => (
          <li key={machine.machineId}>
            {machine.name}: {machine.status}
          </li>
        ))}
      </ul>
      <ul id="relay">
        {relay.messages.map((message, n) => (
          <li key={n}>{JSON.stringify(message)}</li>
        ))}
      </ul>
      <button onClick={() => relay.send({ type: "data", data: { hello: "from React" } })}>Say hello</button>
    </>
  );
}
