"""The pieces of words that all vocabularies have which could be had here, by which words of small letters are counted.

A vocabulary that has a word in fewer pieces takes it in fewer tokens: what is counted here is close to the most. The
lists were taken from the words and parts of words that ten vocabularies share: those of OpenAI's GPT-3, GPT-4 and
GPT-4o, of Claude, Mistral (two of them), Qwen, DeepSeek and SmolLM2.
"""

from typing import Final

_LONGEST: Final = 8
_SHORTEST: Final = 3

_WORDS_LISTED: Final = """
above absolute absolutely accident according across actually addition additional administration administrative
advanced advantage advice affairs affect affected against agency agree agreed agreement ahead aircraft album algorithm
allows almost alone along alongside already alternative amazing among analysis animal animals announced another anyone
anything apparently appeared appears application applications applied applies appreciate appropriate approximately
architecture archive area areas arguments array arrived asked assigned associated association assumed attack attacks
attempt attempts attention attorney attribute attributes audience authentication automatically available average avoid
award awesome baby backup bad bank basic basically basis battle beautiful became become been began begin beginning
behavior behaviour behind believe believed below benefit benefits better beyond bill binary birthday blood blue books
boolean bottom bought boy branch bring broken brother brought budget buffer bug builds buy bytes calling calls came
camera campaign cannot capacity capital cases category caught cause center central century certain certainly
certificate challenge championship chance changing character characters chief choice choose church circumstances
citizens civil clean clothes club cluster coffee college combination combined commands commercial commission committee
communication community companies compared comparison compatibility compatible competition compiler completion complex
component components compression computer concept concerned condition conditions conference confidence configuration
congress connection conservative consider considered construction contain containing contains contribution
contributions contributor convention cool copies copy copyright corresponding council countries county couple crazy
credentials crime criminal critical cross cultural culture cup curl currently cut daily damage dangerous dark dat
daughter dead deal death decided decision defense definitely definition degree delete democratic department
dependencies dependency depending depends deployed deployment describe described describes description designed
despite destination destroyed detailed determine determined develop developed developer developers developing
development device devices didn died difference differences different difficult digital directly director directory
discussion disease distance distribute distributed distribution district documentation doesn doing dollars domestic
dos double doubt dream drink driving due during earlier early easier easily east eastern easy eat economic economy
editor education effort efforts either emergency employees empty enabled encoding energy enjoy enough entire entirely
entry environment environmental environments episode equipment equivalent era escape especially established etc
evaluated evaluation everyone everything evidence exactly examples excellent exclusive executed executive exercise
exit expansion expect expectations experience experienced experiences experimental explain explicitly export express
expression expressions extended extension extensions external extremely eyes facilities fails faith false familiar
families famous fantastic fashion fast favorite federal feel feeling feels felt female festival few fields fight
fighting film finally financial fine finished five fix fixed focus focused folder followed following food football
foreign freedom frequently fresh friends functions further games gave generally generated generator gets getting girl
girlfriend girls give given gives giving god goes gold gone gonna government granted great greater greatest green
groups growth guaranteed guess guy guys hands happen happened happening happens happy hat haven having hear heard
heavy held herself hey higher hij himself honestly hope hospital host hot hotel hour hours however http huge hurt
husband idea identify ignored imagine immediately impact implementation implemented important impossible improve
improved included including income increase increased indeed independent indicates individual individuals industrial
industry influence information infrastructure initial initially inside installed instances instead instructions
insurance integration intelligence international internet introduced introduction investigation investment involved
isn itself job journal journey judge keys kids kill killed killing kitchen knew knowledge later launch launched lead
leader leaders leadership leading league least leaving legal length libraries link literally little lives living
located longer looked looking looks lord lost magazine makes management manufacturing march marriage married matter
maximum means measures mechanism medical meet meeting mentioned middle might military million millions minimum
minister minutes missing mobile modification modifications modified modify modules mom moment money monitoring month
months morning mouth movie much murder music myself named nation national nations native nature near nearly
necessarily necessary needed needs negative neighborhood neither nice none north northern nothing notice numbers
obviously occur occurred occurs office officer officers official often operation operations opinion opportunity
organization organizations others otherwise outside ownership packages pages paid pairs para parameter parameters park
particular particularly parts passed past patch pay perfect perfectly performance performed perhaps permission
permissions physical piece pieces played player players playing please plus police policies political politics popular
population positive possibility possible possibly potential potentially pour practice president pretty prevent
previous previously primarily primary prime principal prior priority prison probably problem problems produced
production professional professor programs properly properties protect protocol provide provided provides providing
published pull purchase purpose purposes questions qui quickly quite radio raised random rather reached reading ready
really receive received recognized recommend recommendations recommended reduce reference references regardless
registry relationship relationships released relevant religious remains remember removed repository represent
representation representatives representing represents requests requires research resolved resources responsibility
responsible restrictions returned returns revealed revenue rights river role royal rules runs safe safety said save
saved saw saying says schedule science scientific screen sea secure seems selected selection self selling send senior
sense sensitive separate separated seriously seven several sex sexual shall shared shot shows significant
significantly similar similarly simply simultaneously sitting situation six sleep slightly society socket software
someone something sometimes song soon sorry south southern speak speaking specified specify speech speed spirit sports
square stage started starting statement statistics status stay still stock storage straight strategy street struggle
student students studies studio study stuff stupid style subsequent suddenly summer supplied supply supported supports
supposed sure surprised sweet symbols syntax systems tag taken takes taking talk talking tax teacher technical
techniques technology tell telling tells term terms terrible thank thanks their them themselves theory therefore these
things thinking those thought thousands thus tickets today together told tomorrow took tool topic touch towards town
trade traditional traffic travel treatment tree tried trouble truly trump trust truth trying turned types typical
typically understand unfortunately union unique united universal university unless upon useful users usually variables
variant variety various vehicle via village volume von vote wait waiting walk walking want wanted wants wasn weapons
weather website wedding weeks welcome went western whatever whether whole whose wife window windows wish within women
wonderful worked worry worse worst worth would wouldn wrong wrote yeah years yes yesterday yet young yourself
"""
_PARTS_LISTED: Final = """
ability able about accept access account ace ach act action actions activ active acts ada add added address ade ado
after again age aging ago ail ain ained aining air ais ake ale ality all alle allow allowed ally alpha als also
although always ament amer amount ance and ando ann ans answer ant anti ants any app apply appro are argument aring
around art article ary ase ash ask ass asse ast ate ated ates ating ation ational ations ative ator ators att atten
ature author auto ave away back ball ban bar base based because before being ben ber best between big binding bit
black block board body book both bre break build building built business but call called can cap car care cas case cat
cel cent cer cha change changed changes channel char charge che check ches chi child children cho cing city claim
class clear client close cloud code col coll com come comes coming comm command comment commit common comp company
complete con conf config connect cons const cont content context continue contract control cor correct cost could
count country course court cover covered cre create created ctor cur current custom dan data date day days dec ded def
default defined del dem den der des design details did die ding direct dis disable display dit document does domain
don done door down download drive each ear ection een effect ele elect element ell ella elle else ement enable ence
end ended ending ene eng engine ening ens ent ented ently ered ering error errors ers essed ession est ested eter eur
even event events ever every example except exec exist existing exp expected extra face fact fail fall family far
father feature features fer field figure file files filter fin final find fire first flag flags follow for force form
format former forward found four free friend from front ful full fully fun function future game gar gen gener general
ger gest get ging global going good google got gra grand graph ground group had half hand handle har hard has have
head health heart help her here het high him his history hit hol hold home hor house how https human ial ian ible ica
ical ically ican icate ication ice ich icht ici ick ide ident ien ient ier ies ified ifies ifying ight ile ill illing
image imate import ina ination inc include includes ind ine ines ing ings input ins inst install instance int inter
interest internal into inv ion ional ione ions ious ire ise ish issue issues ist itation ite ited item ities ition its
ity ive ively ivers ization ize ized just ked keep ken ker key kind king know known label lan land language lar large
las last late lation law learn leave led left leg les less let letter level library lic license lie life light like
likely limit limited lin line lines ling lish list listed lit live load local location log long look los lot love low
lower machine made main major make making mal man managed manager many mar mark market mas mat match material may
maybe mean med media member members memory men ment ments mer mes message met method mic mil min mind ming miss
mission mit mitted mode model module mon more most mother move multiple must name names natural need ner ness network
never new news next nie night ning node non nor normal nos not note now number object objects off oke old olution once
onder one ones online only oor ope open oper option optional options order organ ories original ors other our ous out
output over owing own package page pan par parents part party pas pass path patient pattern ped pend people per
percent period person personal phone photo picture ping place plan platform play ple point points policy por port pos
position post power pre prefix pres present press price print private pro process produ product products program
progress project projects prom property prot prov public put python qual quality que question rac ral ran range rant
rate rated rea read real reason reat rec record red ref reg region register regular rel related relative release
remove ren rep replace report request require required res resource respect response rest result results ret return
review ric ries right ring ris rist rit road ron room ros round row run running rus same san say sch school score
script search season second secret section security see seen sen sent sequence ser series serv server service services
ses session set setting share she shell ship short should show side sign simple sin since sing single site size small
social sol some son sort sound source space spec special specific sta stand standard standing star start state states
station ste step ster stop store story str stream string strong struct sub subject success such super support sur
system table tags tain take tal target team ted tem ten ter termin ters test tests text than that the then there they
thing think third this though three through time times ting title ton too top tor total tra track training trans
transfer tre tri true try turn two type ual ually uck ugh uit ulation ult una und under une until update ure use used
user uses using ust ute ution val valid value values van vari variable ver vers version versions very video view ving
vis vision vol war ward was watch water way ways week well were west what when where which while white who why will
win with without woman won word words work working works world write writing written year ying you your
"""
_PAIRS_LISTED: Final = """
aabcdefghijklmnoprstuvwxyz babcdefgilmnoprstuy cabcdefhiklmnoprstuvyz dabcdefhiklmnoprstuxy eabcdefghiklmnpqrstuvwxyz
fabcdefgilmnoprstuwxy gabeghilnoprstuyz hadehilmnoprstuwy iabcdefghijklmnopqrstuvwxyz jaeijosu kabeghiklmnorstuwy
labcdeilnoprstuvy mabcdegiklmnoprstuxy nabcdegilmnoprstuy oabcdefghijklmnoprstuvwxyz pabcdeghilmnoprstuxy qalqstu
rabcdefghilmnorstuxy sabcdefghiklmnopqrstuvwy tacdefhiklmnoprstuvwxyz uabcdefghijklmnoprstuvxyz vacdeilmorstvy
wabdehilnoprstwxy xabcdefistxy yadeglmnoprsty zaehiouyz
"""
_FIRST_PAIRS_LISTED: Final = """
abcdfghklmnprstuvwxyz baceiloruy cacdefhlmoprsuy dabcefioruwxy ecdglmnpqrstvxy faeilnorstu gaeloruy haeiory
ibcdefgilmnoprstv jaeosu kaegimno labeiloy madegiklmopstuy naegiopsu obdfhklmnprstvxz paceghilmoprstuy qu racehmosu
sacehiklmnopqstuvwy taefhiorsuvwxy ublmnprst vaeimos waehr x yae zeo
"""

_WORDS: Final = frozenset(_WORDS_LISTED.split())
"""Whole words, each one token after a blank."""
_PARTS: Final = frozenset(_PARTS_LISTED.split())
"""Parts of words, of three letters and more."""
_PAIRS: Final = frozenset(row[0] + second for row in _PAIRS_LISTED.split() for second in row[1:])
"""Two letters within a word; they are listed as the first and all that may follow it."""
_FIRST_PAIRS: Final = frozenset(row[0] + second for row in _FIRST_PAIRS_LISTED.split() for second in row[1:])
"""Two letters at its beginning."""


def pieces(word: str) -> int:
    """Return into how many pieces a word of small letters falls, the longest that fits taken each time."""
    if word in _WORDS:
        return 1
    count = place = 0
    while place < len(word):
        place = _end(word, place)
        count += 1
    return count


def _end(word: str, place: int) -> int:
    """Return where the piece ends that begins at a place."""
    for end in range(min(place + _LONGEST, len(word)), place + _SHORTEST - 1, -1):
        if word[place:end] in _PARTS:
            return end
    return place + (2 if word[place : place + 2] in (_PAIRS if place else _FIRST_PAIRS) else 1)
