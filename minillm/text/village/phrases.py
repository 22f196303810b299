"""How each kind of sentence is said: English beside Chinese, with a weight for how often.

A kind of sentence ("take", "give", ...) is a meaning; a phrase is one way to say it. The braces are
filled by `render.py`:

    {S} {s} {o}    the one the sentence is about, first in the sentence, inside it, as its object:
                   a name, or he, she, him, her where the story has just spoken of them alone
    {he} {him}     the same person, always by pronoun
    {T} {The_T}    the thing: "the lamp", or "it" where the sentence before named it; "The lamp"
    {A} {An_A}     the thing, new to the story: "a lamp", "An old lamp"
    {at} {to}      the place: "at the mill", "the mill"
    {here} {from}  the place where the person is as the sentence begins, said in the same two ways
    {Q} {q_him}    the other person
    {good} {bad}   two opposite feelings

Each phrase ends with the only full stop in it, so a text falls into sentences in one way; and no
two phrases give the same sentence in the same state, which the tests prove by trying them all.
"""

# kind: [(weight, English, Chinese), ...]
PHRASES: dict[str, list[tuple[int, str, str]]] = {
    # who there is, and what there is
    "open": [
        (4, "{S} was {at}.", "{S}在{at}。"),
        (2, "{S} stood {at}.", "{S}站在{at}。"),
        (2, "One spring morning, {s} was {at}.", "一个春天的早晨，{S}在{at}。"),
        (2, "One summer morning, {s} was {at}.", "一个夏天的早晨，{S}在{at}。"),
        (2, "One May morning, {s} was {at}.", "五月的一个早晨，{S}在{at}。"),
        (2, "One June morning, {s} was {at}.", "六月的一个早晨，{S}在{at}。"),
        (1, "One cold winter day, {s} was {at}.", "一个寒冷的冬日，{S}在{at}。"),
        (1, "In May, {s} was at work {at}.", "五月里，{S}正在{at}干活。"),
        (2, "{S} rose early and went to {to}.", "{S}起得很早，去了{to}。"),
    ],
    "arrive": [
        (4, "{S} was {at}.", "{S}在{at}。"),
        (2, "{S} came to {to}.", "{S}来到了{to}。"),
        (1, "{S} was at work {at}.", "{S}正在{at}干活。"),
        (2, "Then {s} came to {to}.", "这时{S}来到了{to}。"),
        (1, "Soon {s} came to {to}.", "不久{S}来到了{to}。"),
        (1, "A neighbour, {s}, was {at}.", "邻居{S}在{at}。"),
    ],
    "there": [
        (3, "There was {A} {at}.", "{at}有{A}。"),
        (2, "{An_A} lay {at}.", "{at}放着{A}。"),
        (1, "Someone had left {A} {at}.", "有人在{at}落下了{A}。"),
    ],
    "own": [
        (3, "{S} had {A}.", "{S}有{A}。"),
        (1, "{S} had brought {A}.", "{S}带来了{A}。"),
    ],
    # going
    "go": [
        (4, "{S} went to {to}.", "{S}去了{to}。"),
        (2, "{S} walked to {to}.", "{S}走到了{to}。"),
        (1, "{S} ran to {to}.", "{S}跑到了{to}。"),
        (1, "{S} came to {to}.", "{S}来到了{to}。"),
        (1, "Then {s} came to {to}.", "这时{S}来到了{to}。"),
        (2, "{S} left {from} and went to {to}.", "{S}离开{from}，去了{to}。"),
    ],
    "return": [(1, "{S} went back to {to}.", "{S}回到了{to}。")],
    "carry": [
        (2, "{S} took {T} to {to}.", "{S}把{T}带到了{to}。"),
        (1, "{S} went to {to} with {T}.", "{S}带着{T}去了{to}。"),
    ],
    "together": [
        (2, "{S} and {Q} went to {to}.", "{S}和{Q}一起去了{to}。"),
        (1, "{S} went to {to}, and {Q} went with {him}.", "{S}去了{to}，{Q}也跟着去了。"),
    ],
    # things change hands
    "take": [
        (3, "{S} took {T}.", "{S}拿起了{T}。"),
        (2, "{S} picked {T} up.", "{S}把{T}拾了起来。"),
        (1, "{S} saw {T} and took it.", "{S}看见{T}，就拿在了手里。"),
    ],
    "put": [
        (3, "{S} put {T} down.", "{S}放下了{T}。"),
        (2, "{S} left {T} {here}.", "{S}把{T}留在了{here}。"),
    ],
    "give": [
        (3, "{S} gave {T} to {Q}.", "{S}把{T}给了{Q}。"),
        (2, "{S} handed {T} to {Q}.", "{S}把{T}递给了{Q}。"),
    ],
    "thank": [(1, '"Thank you, {Q}," {s} said.', "“谢谢你，{Q}，”{S}说。")],
    "ask": [
        (2, '"May I have {T}, {Q}?" {s} asked.', "“{Q}，可以把{T}给我吗？”{S}问。"),
        (2, '"Will you give me {T}, {Q}?" {s} asked.', "“{Q}，你愿意把{T}给我吗？”{S}问。"),
    ],
    "yes": [
        (2, '"Yes," said {S}, and gave {T} to {q_him}.', "“好的，”{S}说着，把{T}给了{q_him}。"),
        (
            1,
            '"Of course," said {S}, and gave {T} to {q_him}.',
            "“当然，”{S}说着，把{T}给了{q_him}。",
        ),
    ],
    "no": [
        (2, '"No," said {S}, and kept {T}.', "“不行，”{S}说，自己留着{T}。"),
        (1, '"Not today," said {S}, and kept {T}.', "“今天不行，”{S}说，自己留着{T}。"),
    ],
    "want": [
        (2, "{S} wanted {T}.", "{S}想要{T}。"),
        (1, "{S} wished for {T}.", "{S}盼着得到{T}。"),
    ],
    "gain": [
        (1, "At last {s} had {T}.", "{S}终于拥有了{T}。"),
        (1, "Now {s} had {T} at last.", "现在{S}终于得到了{T}。"),
    ],
    "ponder": [
        (2, "{S} asked about {T}.", "{S}打听{T}的事。"),
        (1, "{S} dreamed of {T}.", "{S}梦见了{T}。"),
    ],
    # people meet
    "meet": [
        (2, "{S} saw {Q} {here}.", "{S}在{here}看见了{Q}。"),
        (2, "{S} met {Q} {here}.", "{S}在{here}遇见了{Q}。"),
        (1, "{S} smiled at {Q}.", "{S}对{Q}微笑。"),
        (1, "{S} sat down with {Q}.", "{S}和{Q}坐在一起。"),
    ],
    "talk": [(1, "{S} talked with {Q} about {T}.", "{S}和{Q}谈起了{T}。")],
    "think": [
        (2, "{S} thought of {Q}.", "{S}想起了{Q}。"),
        (1, "{S} sang a song about {Q}.", "{S}唱了一首关于{Q}的歌。"),
    ],
    # a plan, and what comes of it
    "plan": [
        (2, '"I will go to {to}," {s} said.', "“我要去{to}，”{S}说。"),
        (1, '"I hope to be {at} today," {s} said.', "“我今天想到{to}去，”{S}说。"),
    ],
    "do": [
        (2, "So {he} went to {to}.", "于是{he}去了{to}。"),
        (1, "And {he} went straight to {to}.", "{he}就直接去了{to}。"),
    ],
    "drop": [
        (
            1,
            "But it began to rain, and {he} stayed {here}.",
            "可是下起雨来了，{he}就留在了{here}。",
        ),
        (1, "But {he} was tired, and stayed {here}.", "可是{he}累了，就留在了{here}。"),
    ],
    # feelings
    "feel_good": [
        (3, "{S} was {good}.", "{S}很{good}。"),
        (2, "{S} was not {bad}.", "{S}并不{bad}。"),
        (1, "{S} was {good}, not {bad}.", "{S}很{good}，并不{bad}。"),
        (1, "{S} felt {good}.", "{S}感到{good}。"),
        (2, "{S} could have been {bad}, but was not.", "{S}本来可能会{bad}，但并没有。"),
    ],
    "feel_bad": [
        (3, "{S} was {bad}.", "{S}很{bad}。"),
        (2, "{S} was not {good}.", "{S}并不{good}。"),
        (1, "{S} was {bad}, not {good}.", "{S}很{bad}，并不{good}。"),
        (1, "{S} felt {bad}.", "{S}感到{bad}。"),
        (2, "{S} could have been {good}, but was not.", "{S}本来可能会{good}，但并没有。"),
    ],
    "turn_good": [
        (2, "{S} was no longer {bad}.", "{S}不再{bad}了。"),
        (2, "{S} had been {bad}, but now {he} was {good}.", "{S}之前很{bad}，现在却很{good}。"),
    ],
    "turn_bad": [
        (2, "{S} was no longer {good}.", "{S}不再{good}了。"),
        (2, "{S} had been {good}, but now {he} was {bad}.", "{S}之前很{good}，现在却很{bad}。"),
    ],
    "still_good": [(1, "{S} was still {good}.", "{S}仍然很{good}。")],
    "still_bad": [(1, "{S} was still {bad}.", "{S}仍然很{bad}。")],
    "good_but_bad": [(1, "{S} was {good}, but {Q} was {bad}.", "{S}很{good}，{Q}却很{bad}。")],
    "bad_but_good": [(1, "{S} was {bad}, but {Q} was {good}.", "{S}很{bad}，{Q}却很{good}。")],
    "joy": [
        (1, "Joy filled {o}.", "{S}满心喜悦。"),
        (1, "{S} felt wonderful.", "{S}感觉好极了。"),
        (1, "Hope filled {o}.", "{S}心里充满了希望。"),
    ],
    "grief": [
        (1, "{S} wept with grief.", "{S}伤心地哭了。"),
        (1, "{S} felt terrible.", "{S}感觉糟透了。"),
        (1, "All joy left {o}.", "{S}一点也高兴不起来。"),
    ],
    # what is still as it was
    "stay": [
        (3, "{S} was still {at}.", "{S}还在{at}。"),
        (1, "{S} was {at}.", "{S}在{at}。"),
        (1, "{S} was at work {at}.", "{S}正在{at}干活。"),
    ],
    "keep": [(1, "{S} still had {T}.", "{S}还拿着{T}。")],
    "lie": [(1, "{The_T} was still {at}.", "{T}还在{at}。")],
    # small things that change nothing
    "idle": [
        (1, "{S} sat down to rest.", "{S}坐下来休息。"),
        (1, "{S} sang a song.", "{S}唱了一首歌。"),
        (1, "{S} rose and looked around.", "{S}站起来看了看四周。"),
        (1, "{S} began to whistle.", "{S}吹起了口哨。"),
        (1, "{S} stopped to watch the clouds.", "{S}停下来看云。"),
        (1, "{S} drank some water.", "{S}喝了些水。"),
        (1, "{S} waited for a while.", "{S}等了一会儿。"),
        (1, "{S} saw a bird in the sky.", "{S}看见天上有一只鸟。"),
        (1, "{S} thought of spring.", "{S}想起了春天。"),
        (1, "{S} heard bells ring far away.", "{S}听见远处响起了钟声。"),
        (1, "{S} slept well that day.", "那天{S}睡得很好。"),
        (1, "{S} told a long story.", "{S}讲了一个很长的故事。"),
        (1, "{S} ate some bread and cheese.", "{S}吃了些面包和奶酪。"),
        (1, "{S} counted the stars in a loud voice.", "{S}大声地数星星。"),
        (1, "{S} made a wish with closed eyes.", "{S}闭上眼睛许了个愿。"),
        (1, "{S} danced in a circle.", "{S}转着圈跳舞。"),
        (1, "{S} lit a fire.", "{S}生了一堆火。"),
        (1, "{S} was hungry all day.", "{S}饿了一整天。"),
        (1, "{S} yawned twice.", "{S}打了两个哈欠。"),
        (1, "{S} thought of an old friend.", "{S}想起了一位老朋友。"),
        (1, "{S} swept the ground.", "{S}扫了扫地。"),
        (1, "{S} played with some stones.", "{S}玩起了石子。"),
        (1, "{S} began to saw wood.", "{S}锯起木头来。"),
        (1, "{S} stopped to comb a pony.", "{S}停下来给一匹小马梳毛。"),
    ],
    "remark": [
        (1, '"Well, well," {s} said.', "“哎呀呀，”{S}说。"),
        (1, '"Will it rain?" {s} asked.', "“会下雨吗？”{S}问。"),
        (1, '"May I rest?" {s} asked.', "“我可以休息一下吗？”{S}问。"),
        (1, '"Mark my words," {s} said.', "“记住我的话，”{S}说。"),
        (1, '"June is the best month," {s} said.', "“六月是最好的月份，”{S}说。"),
        (1, '"Hope is a fine thing," {s} said.', "“希望是个好东西，”{S}说。"),
        (1, '"Joy is a rare bird," {s} said.', "“快乐可不常有，”{S}说。"),
        (1, '"Spring will come," {s} said.', "“春天会来的，”{S}说。"),
    ],
    "like": [
        (1, "{S} liked it {here}.", "{S}喜欢{here}。"),
        (1, "{S} sang {here}.", "{S}在{here}唱歌。"),
        (1, "{S} felt at home {here}.", "{S}在{here}觉得很自在。"),
    ],
    "weather": [
        (1, "The sun rose.", "太阳升起来了。"),
        (1, "It began to rain.", "下起雨来了。"),
        (1, "A soft wind blew.", "吹来一阵微风。"),
        (1, "The sky was blue.", "天空很蓝。"),
        (1, "The light turned orange.", "光线变成了橙色。"),
        (1, "The hills were green.", "山都绿了。"),
        (1, "May was warm that year.", "那年的五月很暖和。"),
        (1, "June was near.", "六月快到了。"),
        (1, "Clouds rose in the west.", "西边起了云。"),
        (1, "Soon it would be spring.", "春天快到了。"),
        (1, "Snow lay on the roofs.", "屋顶上积着雪。"),
        (1, "The moon was full.", "月亮圆了。"),
        (1, "Leaves fell from every tree.", "树叶纷纷落下。"),
        (1, "Night came late.", "天黑得很晚。"),
        (1, "Rain began to drum on the roofs.", "雨点开始敲打屋顶。"),
        (1, "Joy was in the air.", "空气里满是喜悦。"),
        (1, "Hope was in the air.", "空气里满是希望。"),
        (1, "A storm was over the valley.", "暴风雨笼罩着山谷。"),
        (1, "Smoke hung in the still air.", "炊烟悬在静止的空气里。"),
        (1, "Mist hid the river.", "雾气遮住了河面。"),
    ],
    "animal": [
        (1, "A robin sang {at}.", "一只知更鸟在{at}唱歌。"),
        (1, "A dog slept {at}.", "一只狗在{at}睡觉。"),
        (1, "A cat sat {at}.", "一只猫坐在{at}。"),
        (1, "Two ducks walked past {to}.", "两只鸭子走过{to}。"),
        (1, "A horse waited {at}.", "一匹马在{at}等着。"),
        (1, "Bees hummed {at}.", "蜜蜂在{at}嗡嗡叫。"),
        (1, "A white goat stood {at}.", "一只白山羊站在{at}。"),
        (1, "A fox crept past {to}.", "一只狐狸溜过{to}。"),
        (1, "An owl called {at}.", "一只猫头鹰在{at}叫。"),
        (1, "Three hens scratched {at}.", "三只母鸡在{at}刨土。"),
        (1, "A grey mouse hid {at}.", "一只灰老鼠躲在{at}。"),
    ],
}
