import numpy as np
from repro.text.tokenizer import load
tk=load('/work/scratch/csr_dl/art'); t,b=np.load('/work/scratch/csr_dl/art/lexicons/it-en.npy')
names=[tk.id_to_token(i) for i in range(tk.get_vocab_size())]
import random; random.seed(2)
h=[i for i in range(len(names)) if t[i,0]>=0 and names[i].startswith('Ġ') and len(names[i])>4]
for i in random.sample(h,25): print(names[i],[names[j] for j in t[i]])
