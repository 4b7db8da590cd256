// SPDX-License-Identifier: ISC
// The three protocols as composables: refs that follow the server, and end with the component that uses them.
import { onScopeDispose, ref, shallowRef } from "vue";
import { joinRelay } from "../browser/relay.js";
import { watchMachines } from "../browser/machines.js";
import { watchStatus } from "../browser/status.js";

function live(open) {
  const state = ref("connecting");
  const link = open((name) => (state.value = name));
  onScopeDispose(link.close);
  return { state, send: link.send };
}

export function useStatus(url) {
  const machines = shallowRef([]);
  return { machines, ...live((state) => watchStatus(url, (all) => (machines.value = [...all.values()]), state)) };
}

export function useMachines(url, apiKey) {
  const machines = shallowRef([]);
  return { machines, ...live((state) => watchMachines(url, apiKey, (all) => (machines.value = [...all.values()]), state)) };
}

export function useRelay(url, options = {}) {
  const messages = shallowRef([]); // the newest 50
  const heard = (message) => (messages.value = [message, ...messages.value].slice(0, 50));
  return { messages, ...live((state) => joinRelay(url, { ...options, heard, state })) };
}
