// The page's words in both languages. `t(key)` gives the word in the language that is set.

const WORDS = {
  skip: ["Skip to the decision", "跳到决定"],
  queue: ["Queue", "队列"], search: ["Search", "检索"], supervise: ["Supervisor", "监督"], users: ["Users", "用户"],
  keys: ["Keys", "快捷键"], light: ["Light", "浅色"], dark: ["Dark", "深色"], logout: ["Log out", "退出"], login: ["Log in", "登录"],
  open_only: ["undecided only", "仅未决定"], drop: ["Drop scans here, or choose files", "将扫描文件拖到此处，或选择文件"],
  high: ["High", "高能"], low: ["Low", "低能"], ratio: ["Ratio", "能量比"], areal: ["Areal density", "面密度"],
  inverse: ["Inverse", "反相"], edge: ["Edges", "边缘"], heat: ["Heat map", "热图"], boxes: ["Boxes", "框"], ruler: ["Ruler", "标尺"],
  one: ["Show pixel by pixel", "逐像素显示"], reset: ["Reset", "复位"], zoom_in: ["Zoom in", "放大"], zoom_out: ["Zoom out", "缩小"],
  window: ["Window", "窗宽"], level: ["Level", "窗位"], nothing: ["Nothing waits. Scans appear here as they arrive.", "没有待处理的扫描。扫描到达后会显示在此。"],
  scan: ["Scan", "扫描"], view: ["View", "视图"], picture: ["Picture", "图像"], verdict_panel: ["Verdict and decision", "判定与决定"],
  stage: ["Scan: drag for window and level, right or Shift drag to pan, wheel to zoom, arrow keys pan, two fingers pan and zoom",
    "扫描：拖动调窗宽窗位，右键或 Shift 拖动平移，滚轮缩放，方向键平移，双指平移和缩放"],
  clear: ["clear", "放行"], inspect: ["inspect", "查验"], rescan: ["rescan", "重新扫描"],
  queued: ["waits", "等待"], working: ["is being judged", "正在判定"], failed: ["cannot be judged", "无法判定"],
  verdict: ["Verdict", "判定"], decision: ["Decision", "决定"], score: ["Probability", "概率"], threshold: ["threshold", "阈值"],
  why: ["Why", "理由"], regions: ["Regions", "区域"], materials: ["Materials in the scan", "扫描中的物质"],
  declared: ["Declared", "申报"], nothing_declared: ["nothing declared", "未申报"], container: ["Container", "集装箱"],
  decide: ["Decide", "请决定"], decided: ["Decided", "已决定"], by: ["by", "由"], change: ["Change", "更改"],
  result: ["What did the inspection find?", "查验结果如何？"], found: ["Found", "查获"], not_found: ["Nothing found", "未查获"],
  what_found: ["What was found", "查获物质"], note: ["Note", "备注"], enter: ["Enter", "录入"], cancel: ["Cancel", "取消"], close: ["Close", "关闭"],
  why_otherwise: ["The system says “{0}”. Why do you decide “{1}”?", "系统判定为“{0}”。为何决定“{1}”？"],
  explained_by_documents: ["explained by documents", "单证可以解释"], known_shipper: ["known shipper", "已知发货人"],
  looks_harmless: ["looks harmless to me", "我认为无害"], looks_suspicious: ["looks suspicious to me", "我认为可疑"],
  intelligence: ["intelligence", "情报"], random_check: ["random check", "随机抽查"], image_artefact: ["artefact in the image", "图像伪影"],
  poor_image: ["poor image", "图像质量差"], other: ["other", "其他"],
  report: ["Report", "报告"], report_pdf: ["PDF", "PDF"], report_dicos: ["DICOS TDR", "DICOS TDR"], record: ["Record", "记录"],
  similar: ["Similar scans", "相似扫描"], no_similar: ["none yet", "暂无"], history: ["Ledger", "台账"], distance: ["distance", "距离"],
  connected: ["live", "实时"], lost: ["Connection lost, trying again", "连接中断，正在重试"],
  unreachable: ["the station cannot be reached", "无法连接工作站"], not_shown: ["{0} cannot be shown: {1}", "无法显示 {0}：{1}"], retrying: ["trying again", "正在重试"],
  waiting_n: ["{0} being judged", "{0} 个正在判定"], find: ["Find", "查找"], since: ["From", "从"], until: ["To", "至"],
  search_text: ["Container number, goods, HS code or file", "箱号、货物、HS 编码或文件"], any: ["any", "全部"], undecided: ["undecided", "未决定"],
  hits: ["{0} scans", "{0} 个扫描"], arrived: ["Arrived", "到达"], file: ["File", "文件"], size: ["Size", "尺寸"],
  name: ["Name", "姓名"], role: ["Role", "角色"], password: ["Password", "密码"], add: ["Add", "添加"], remove: ["Remove", "删除"], locked: ["locked", "已锁定"],
  machine: ["machine", "机器"], operator: ["operator", "操作员"], supervisor: ["supervisor", "主管"], admin: ["administrator", "管理员"], local: ["this machine", "本机"],
  organic: ["organic and plastic", "有机物和塑料"], mineral: ["mineral and ceramic", "矿物和陶瓷"], light_metal: ["light metal", "轻金属"],
  steel: ["steel and iron", "钢铁"], copper: ["copper alloys", "铜合金"], lead: ["lead", "铅"], other_heavy: ["other heavy", "其他重物质"],
  antimony: ["antimony", "锑"], rare_earth_oxide: ["rare-earth oxide", "稀土氧化物"], rare_earth_magnet: ["rare-earth magnet", "稀土磁体"],
  goods_here: ["goods", "货物"], watched_here: ["watch-list", "监控物质"], no_penetration: ["not penetrated", "未穿透"], air: ["air", "空气"],
  light_goods: ["light", "轻"], heavy_goods: ["heavy", "重"], to: [" to ", " 至 "], about: ["about {0}", "约 {0}"],
  agreement: ["agreement of people with the system", "人与系统一致率"], alarms: ["alarms", "报警"], false_alarms: ["false alarms, of inspected alarms", "误报，占已查验报警"],
  per_scan: ["time per scan (median)", "每个扫描用时（中位数）"], scans: ["scans", "扫描"], decided_n: ["decided", "已决定"], found_n: ["found", "查获"],
  mean_score: ["mean score", "平均评分"], noise: ["image noise", "图像噪声"], unpenetrated: ["not penetrated, of the goods", "未穿透，占货物"], novelty: ["novelty", "新颖度"],
  open_beam: ["open beam", "空气值"], drift: ["Drift against the first weeks", "与最初几周相比的漂移"], first: ["first", "最初"], now: ["now", "现在"],
  deviations: ["standard errors", "标准误差"], drift_none: ["Too few scans to tell drift: 20 are needed then and now.", "扫描太少，无法判断漂移：前后各需 20 个。"],
  drift_warning: ["changed: look at detector and model", "有变化：请检查探测器和模型"], steady: ["steady", "稳定"], figure: ["Figure", "指标"],
  overrides: ["Reasons for deciding otherwise", "不同决定的理由"], ledger_check: ["Check the ledger", "校验台账"],
  ledger_good: ["The chain of {0} rows holds. Head: {1}", "{0} 行的链完好。链首：{1}"], ledger_bad: ["The chain is broken: {0}", "链已断裂：{0}"], labels: ["Labels for training (CSV)", "训练标签（CSV）"],
  no_scans: ["No scans yet.", "尚无扫描。"], sent: ["{0} sent", "已发送 {0}"], keys_title: ["Keys", "快捷键"],
  k_decide: ["clear, inspect, rescan", "放行、查验、重新扫描"], k_next: ["next, previous scan of the queue", "队列中的下一个、上一个"],
  k_view: ["high, low, ratio, areal density", "高能、低能、能量比、面密度"], k_toggle: ["inverse, edges, heat map, boxes, ruler", "反相、边缘、热图、框、标尺"],
  k_zoom: ["zoom, reset", "缩放、复位"], k_window: ["window and level (on the picture)", "窗宽窗位（在图像上）"], k_report: ["report", "报告"], k_found: ["result: found, nothing found", "结果：查获、未查获"],
  k_pan: ["pan (on the picture)", "平移（在图像上）"], k_help: ["these keys", "本帮助"], score_of: ["probability of undeclared watch-list material", "存在未申报监控物质的概率"],
  area: ["area", "面积"], mass: ["mass", "质量"], hint: ["Drag: window and level · Shift or right drag: pan · wheel: zoom · ?: all keys", "拖动：窗宽窗位 · Shift 或右键拖动：平移 · 滚轮：缩放 · ?：全部快捷键"],
  show: ["Show", "定位"], next: ["Next scan", "下一个"],
  papers: ["What is declared?", "申报内容"], container_number: ["Container or parcel number", "集装箱或包裹号"], hs_code: ["HS code", "HS 编码"], goods: ["Goods", "货物"], send: ["Send", "发送"],
  alike: ["Scans like {0}", "与 {0} 相似的扫描"], like_this: ["Similar", "相似"], more_alike: ["More similar scans", "更多相似扫描"], no_webgl: ["This browser has no WebGL2: the scan cannot be shown.", "此浏览器不支持 WebGL2：无法显示扫描。"],
};

let index = 0;

export function setLanguage(language) {
  index = language === "zh" ? 1 : 0;
  document.documentElement.lang = index ? "zh-CN" : "en";
  localStorage.setItem("language", language);
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll("[data-h]")) element.title = t(element.dataset.h);
  for (const element of document.querySelectorAll("[data-a]")) element.setAttribute("aria-label", t(element.dataset.a));
}

export const language = () => (index ? "zh" : "en");

/** The word of a key; {0}, {1} are filled in. A key without a word is shown as it is. */
export function t(key, ...values) {
  const pair = WORDS[key];
  return (pair ? pair[index] : String(key)).replace(/\{(\d)\}/g, (_, n) => String(values[n]));
}

export const has = (key) => key in WORDS;
