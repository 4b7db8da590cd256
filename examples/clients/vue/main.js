// SPDX-License-Identifier: ISC
import { createApp } from "vue";
import App from "./App.vue";

createApp(App, Object.fromEntries(new URLSearchParams(location.hash.slice(1)))).mount("#app");
