// SPDX-License-Identifier: ISC
// The three protocols as hooks: values that follow the server, and end with the component that uses them.
import { useCallback, useEffect, useRef, useState } from "react";
import { Client, joinRelay, watchMachines, watchStatus, type State } from "../typescript/client.js";
import type { FromRelay, Machine, Report, ToRelay } from "../typescript/protocols.js";

export function useStatus(url: string): ReadonlyMap<string, Report> {
  const [machines, setMachines] = useState<ReadonlyMap<string, Report>>(new Map());
  useEffect(() => {
    const link = watchStatus(url, (report) => setMachines((before) => new Map(before).set(report.serverId, report)));
    return () => link.close(); // React's strict mode does this twice, too
  }, [url]);
  return machines;
}

export function useMachines(url: string, apiKey: string): readonly Machine[] {
  const [machines, setMachines] = useState<readonly Machine[]>([]);
  useEffect(() => {
    const link = watchMachines(url, apiKey, (all) => setMachines([...all.values()]));
    return () => link.close();
  }, [url, apiKey]);
  return machines;
}

export function useRelay(url: string, deviceId?: string) {
  const [messages, setMessages] = useState<readonly unknown[]>([]); // the newest 50
  const [state, setState] = useState<State>("connecting");
  const link = useRef<Client<FromRelay, ToRelay>>();
  useEffect(() => {
    const add = (message: unknown) => setMessages((before) => [message, ...before].slice(0, 50));
    const made = joinRelay(url, {
      state: setState,
      opened: (send) => void (deviceId && send({ type: "identify", deviceId })),
      heard: (message) => {
        if (message.type !== "identified") add(message);
      },
      other: add,
    });
    link.current = made;
    return () => made.close();
  }, [url, deviceId]);
  const send = useCallback((message: ToRelay) => link.current?.send(message) ?? false, []);
  return { messages, state, send };
}
